"""
Installs a release in an empty environment of every Python on this machine that is new
enough, CPython or PyPy, and tries it there, far from the checkout: C{installed.py WHEEL
SDIST}, the latter unpacked.

 1. The wheel alone: Twisted finds the plugins, C{twist} runs, and so does the demo.
 2. With its extra C{test}: a part of the tests, from the sdist.  All of them take
    minutes for each Python; C{tox} runs those.
 3. An editable install of the sdist in place of the wheel: the plugins are found again.

Pythons are looked for on the path, and where pyenv keeps its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

OLDEST = (3, 10)
NAMES = re.compile(r"python3\.\d+|pypy3(\.\d+)?")

ABOUT = """
import platform, sys
print(platform.python_implementation(), *sys.version_info[:2])
"""

FINDS = """
import importlib.resources
import twisted_mux
from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.plugin import getPlugins

for name in twisted_mux.__all__:
    getattr(twisted_mux, name)
for string in ("mux:tcp:0", "mux-dial:tcp:127.0.0.1:1"):
    serverFromString(reactor, string)
for string in ("mux:tcp:127.0.0.1:1", "mux-listen:tcp:0"):
    clientFromString(reactor, string)
assert "mux" in [each.tapname for each in getPlugins(IServiceMaker)]
assert importlib.resources.files("twisted_mux").joinpath("py.typed").is_file()
print(twisted_mux.__file__)
"""

#: A part of the tests that takes seconds: arithmetic, wires, README, real sockets, and
#: all that a transport has to do, over one wire.
TESTS = (
    *("tests/unit/engine", "tests/unit/wire", "tests/unit/test_readme.py"),
    *("tests/conformance/test_transports.py", "tests/conformance/test_streams.py"),
    "tests/integration/test_streams.py",
    *("-k", "not (mplex or netmux or smux1 or smux2 or vtmux)"),
)


def pythons() -> Iterator[tuple[str, Path]]:
    """
    The Pythons, each kind and version once, by name.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [Path(each) for each in os.get_exec_path()]
    folders += sorted(pyenv.glob("versions/*/bin"))
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("py*3*")):
            if NAMES.fullmatch(path.name) is None:
                continue
            about = subprocess.run(
                [path, "-c", ABOUT], capture_output=True, text=True, check=False
            )
            # pyenv puts programs onto the path that only say how to get the real one.
            if about.returncode:
                continue
            kind, *version = about.stdout.split()
            name = f"{kind} {'.'.join(version)}"
            if tuple(map(int, version)) >= OLDEST and name not in seen:
                seen.add(name)
                yield name, path


def run(*command: str | Path, cwd: Path) -> str:
    """
    Run a program.

    @raise subprocess.CalledProcessError: it failed.

    @return: what it said.
    """
    unwanted = ("PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS")
    environment = {k: v for k, v in os.environ.items() if k not in unwanted}
    return subprocess.run(
        command,
        check=True,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    ).stdout


class Environment:
    """
    An empty environment, and an empty folder to work in.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        run(
            sys.executable, "-m", "virtualenv", "-p", python, folder / "env", cwd=folder
        )
        self._programs = folder / "env" / "bin"

    def __call__(
        self, program: str, *arguments: str | Path, cwd: Path | None = None
    ) -> str:
        """
        Run one of its programs.
        """
        return run(self._programs / program, *arguments, cwd=cwd or self.elsewhere)

    def install(self, *arguments: str | Path) -> None:
        """
        Install something.
        """
        self("python", "-m", "pip", "install", "--quiet", *arguments)

    def find(self, where: Path) -> None:
        """
        See that the package and its plugins are found, and in the right place.
        """
        found = Path(self("python", "-W", "error", "-c", FINDS).strip())
        assert found.is_relative_to(where), found


def attempt(wheel: Path, sdist: Path, python: Path) -> str:
    """
    Try all with one Python.

    @return: how many tests passed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        environment = Environment(folder, python)
        environment.install(wheel)
        environment.find(folder)
        assert "mux" in environment("twist", "--help")
        assert "--from" in environment("twist", "mux", "--help")
        served = environment.elsewhere / "served" / "below"
        served.mkdir(parents=True)
        for number in range(20):
            (served / f"{number}.txt").write_text(f"{number}\n" * number * 1000)
        environment("python", "-m", "twisted_mux", "demo", "--path", "served")

        environment.install(f"{wheel}[test]")
        said = environment("python", "-m", "pytest", "-q", "-n2", *TESTS, cwd=sdist)

        environment.install("--no-deps", "-e", sdist)
        environment.find(sdist)
        return said.splitlines()[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Try all Pythons.

    @return: 0 if nothing failed.
    """
    parser = argparse.ArgumentParser(description="Try a release on every Python.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("sdist", type=Path, help="unpacked")
    options = parser.parse_args(arguments)
    failed = False
    for name, python in pythons():
        began = time.monotonic()
        try:
            said = attempt(options.wheel.resolve(), options.sdist.resolve(), python)
        except subprocess.CalledProcessError as error:
            failed = True
            said = f"FAILED: {error}\n{error.output}"
        print(f"{name}, {time.monotonic() - began:.0f} s: {said}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
