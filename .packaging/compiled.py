"""
Builds the compiled wheel and runs the tests on it: C{compiled.py CHECKOUT DIST
[TESTS...]}, with the sdist and the plain wheel of a release in DIST.

 1. Built in a clean copy, which stays as it was, it holds what the plain wheel does and
    an extension module for each of the modules that are compiled, and nothing else.
 2. Installed in an empty environment, it is these that run.
 3. The same tests pass on it, from the sdist; without TESTS, those of L{TESTS}.

Without a C compiler, or Python's header, there is nothing to do; in CI that is an error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from backend import COMPILED, isCompiled
from installed import Environment, run

#: All that can tell the two apart: rules, wires, limits, figures, and real peers of the
#: wires that are used most.  What is left out runs the same code by way of Twisted.
TESTS = (
    *("tests/unit", "tests/vectors", "tests/property", "tests/conformance"),
    *("tests/attacks", "tests/fuzz", "tests/benchmarks", "tests/interop"),
    *("--deselect", "tests/benchmarks/test_harness.py"),
)
#: Measured by the clock.
GATES = ("tests/benchmarks/test_gates.py", "-k", "frameCost")

RUNS = """
import twisted_mux.engine.session, twisted_mux.wire.yamux
print(twisted_mux.engine.session.__file__)
print(twisted_mux.wire.yamux.__file__)
"""


def missing() -> str | None:
    """
    What it takes to compile and is not there; C{None} if nothing is missing.
    """
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        return f"no C compiler ({program})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return None if header.is_file() else f"no {header.name}"


def refuses() -> bool:
    """
    Does the backend say so when it is asked for something that it has not got?
    """
    try:
        isCompiled({"compile": "cython"})
    except ValueError:
        return not isCompiled({}) and isCompiled({"compile": "mypyc"})
    return False


def content(wheel: Path) -> dict[str, bytes]:
    """
    What a wheel installs, without what it says of itself.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name)
            for name in archive.namelist()
            if ".dist-info/" not in name
        }


def files(tree: Path) -> dict[Path, bytes]:
    """
    The files of a tree, but for what setuptools leaves in every tree.
    """
    return {
        path.relative_to(tree): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not path.parent.name.endswith(".egg-info")
    }


def build(tree: Path, folder: Path) -> Path:
    """
    Build the compiled wheel.
    """
    before = files(tree)
    setting = ("-C", "compile=mypyc")
    run(
        *(sys.executable, "-m", "build", "--wheel", *setting),
        *("--outdir", folder, tree),
        cwd=tree.parent,
    )
    assert files(tree) == before, "building has left something behind"
    [wheel] = folder.iterdir()
    return wheel


def compare(tree: Path, compiled: Path, plain: Path) -> None:
    """
    See that a compiled wheel holds what it should.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    modules = [path for each in COMPILED for path in tree.glob(each)]
    wanted = {path.relative_to(tree).with_suffix(suffix).as_posix() for path in modules}
    wanted.add(f"twisted_mux__mypyc{suffix}")
    found, source = content(compiled), content(plain)
    extensions = {name for name in found if name not in source}
    assert extensions == wanted, extensions ^ wanted
    assert source == {name: found[name] for name in source}


def attempt(checkout: Path, sdist: Path, plain: Path, tests: Sequence[str]) -> str:
    """
    Build, install and try it.

    @return: how many tests passed, and how many of those that are for a quiet machine.
    """
    assert refuses()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        [tree] = folder.iterdir()
        wheel = build(tree, folder / "dist")
        compare(tree, wheel, plain)
        (folder / "place").mkdir()
        environment = Environment(folder / "place", Path(sys.executable))
        environment.install(wheel)
        environment.find(folder / "place")
        for line in environment("python", "-c", RUNS).splitlines():
            assert line.endswith(sysconfig.get_config_var("EXT_SUFFIX")), line
        assert "(compiled)" in environment("python", "-m", "twisted_mux", "--version")
        environment.install(f"{wheel}[test]")
        # The tests look for the package beside them: let them find what is installed.
        [package] = folder.glob("place/env/lib/*/site-packages/twisted_mux")
        shutil.rmtree(tree / "twisted_mux")
        (tree / "twisted_mux").symlink_to(package)
        # What has been built of the peers for the plain tests.
        if (checkout / ".cache").is_dir():
            shutil.copytree(checkout / ".cache", tree / ".cache")
        pytest = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
        said = environment(*pytest, "-n2", "--dist=loadfile", *tests, cwd=tree)
        # What is measured by the clock, with nothing beside it.
        timed = environment(*pytest, *GATES, cwd=tree)
        return f"{said.splitlines()[-1]}\n{timed.splitlines()[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Build and try it.

    @return: 0 if nothing failed.
    """
    parser = argparse.ArgumentParser(description="Try the compiled wheel.")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("dist", type=Path, help="has an sdist and a plain wheel")
    parser.add_argument("tests", nargs="*", default=TESTS, help="for pytest")
    options = parser.parse_args(arguments)
    if what := missing():
        print(f"not tried: there is {what}")
        return bool(os.environ.get("CI"))
    try:
        [sdist] = options.dist.resolve().glob("*.tar.gz")
        [wheel] = options.dist.resolve().glob("*.whl")
        said = attempt(options.checkout.resolve(), sdist, wheel, options.tests)
    except subprocess.CalledProcessError as error:
        print(f"FAILED: {error}\n{error.output}")
        return 1
    print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
