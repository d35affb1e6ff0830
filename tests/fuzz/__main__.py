"""
Fuzz what reads bytes: C{python -m tests.fuzz [--target NAME ...] [--seconds N]}; see
C{README.md} beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.inputs import LONGEST
from tests.fuzz.minimise import minimise
from tests.fuzz.target import Target
from tests.fuzz.targets import CORPUS, FOUND, WORK, inputs, store, targets

ROOT = Path(__file__).parents[2]
# Seconds that one input may take, and megabytes that the process may have.
_TIMEOUT = 10
_MEMORY = 1024
# Seconds in which a worker has to be gone after its time.
_GRACE = 90
# The last words that a worker has about itself.
_PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units: +(\d+)")


@dataclass
class Outcome:
    """
    What fuzzing a target came to.

    @ivar found: the inputs that found something.
    @ivar trouble: what the worker printed, if it did not end well.
    """

    target: str
    executed: int
    edges: int
    features: int
    kept: int
    seconds: float
    found: Sequence[Path]
    trouble: str


def available() -> bool:
    """
    Is atheris there?
    """
    return importlib.util.find_spec("atheris") is not None


def expected() -> bool:
    """
    Does the index have atheris for this Python?  (See the extra C{fuzz}.)
    """
    return (
        sys.platform == "linux"
        and platform.machine() == "x86_64"
        and platform.python_implementation() == "CPython"
    )


def fuzz(target: Target, seconds: float, plain: bool) -> Outcome:
    """
    Fuzz one target for so long.
    """
    kept = WORK / "corpus" / target.name
    kept.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        store(kept, seed)
    shared = CORPUS / target.name
    found = FOUND / target.name
    found.mkdir(parents=True, exist_ok=True)
    before = set(inputs(found))
    began = time.monotonic()
    command = [
        *(sys.executable, "-m", "tests.fuzz.worker", target.name),
        *(["--plain"] if plain else []),
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={LONGEST}",
        f"-timeout={_TIMEOUT}",
        f"-rss_limit_mb={_MEMORY}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        # What it has found goes on being there: it need not be as short as it gets.
        "-reduce_inputs=1",
        str(kept),
        *([str(shared)] if shared.is_dir() else []),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _GRACE,
        )
        said, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        said, status = error.stdout or b"", -1
    text = said.decode(errors="replace")
    progress = _PROGRESS.findall(text)
    edges, features, size = map(int, progress[-1]) if progress else (0, 0, 0)
    executed = _EXECUTED.search(text)
    return Outcome(
        target.name,
        int(executed.group(1)) if executed else 0,
        edges,
        features,
        size,
        time.monotonic() - began,
        [path for path in inputs(found) if path not in before],
        f"exit status {status}\n{text[-6000:]}" if status or not executed else "",
    )


def fuzzAll(chosen: Sequence[Target], seconds: float, jobs: int, plain: bool) -> bool:
    """
    Fuzz these for so long in all, as many at once as C{jobs}.

    @return: was nothing found?
    """
    each = seconds * min(jobs, len(chosen)) / len(chosen)
    print(
        f"{'target':15} {'inputs':>9} {'per second':>10} {'edges':>6} {'features':>8}"
    )
    good = True
    with ThreadPoolExecutor(jobs) as threads:
        for outcome in threads.map(lambda target: fuzz(target, each, plain), chosen):
            pace = outcome.executed / outcome.seconds
            print(
                f"{outcome.target:15} {outcome.executed:9} {pace:10.0f} "
                f"{outcome.edges:6} {outcome.features:8}",
                flush=True,
            )
            if outcome.trouble:
                good = False
                print(outcome.trouble)
            for path in outcome.found:
                good = False
                print(f"found; again with: python -m tests.fuzz --replay {path}")
    print("nothing was found" if good else "SOMETHING WAS FOUND")
    return good


def replay(chosen: Sequence[Target], files: Sequence[Path]) -> bool:
    """
    Run inputs: these, or all that there are for these targets.  Without atheris.

    @return: was nothing found?
    """
    good = True
    if not files:
        files = [
            path
            for target in chosen
            for folder in (CORPUS / target.name, FOUND / target.name)
            for path in inputs(folder)
        ]
    for path in files:
        name = path.absolute().parent.name
        if name not in targets():
            raise SystemExit(f"{path}: is in no folder that is named after a target")
        try:
            targets()[name].run(path.read_bytes())
        except Exception:
            good = False
            traceback.print_exc()
            print(f"{path}: finds something")
    print(f"{len(files)} inputs were run")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Do what was asked for.

    @return: the exit status: 0 if nothing was found.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument(
        "--target",
        action="append",
        choices=targets(),
        metavar="NAME",
        help=f"one of {', '.join(targets())}; default: all",
    )
    parser.add_argument("--seconds", type=float, default=60, help="in all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--replay",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="only run these inputs; without any, the corpus and what was found",
    )
    parser.add_argument(
        "--minimise",
        action="store_true",
        help="make the corpus anew, out of all that was kept",
    )
    parser.add_argument(
        "--plain", action="store_true", help="without mutators that know frames"
    )
    options = parser.parse_args(arguments)
    chosen = [targets()[name] for name in options.target or targets()]
    if options.replay is not None:
        return 0 if replay(chosen, options.replay) else 1
    if options.minimise:
        for target in chosen:
            minimise(target, WORK / "corpus" / target.name, CORPUS / target.name)
        return 0
    if not available():
        missing = bool(os.environ.get("CI")) and expected()
        print(f"fuzzing {'FAILED' if missing else 'is skipped'}: there is no atheris")
        return 1 if missing else 0
    return 0 if fuzzAll(chosen, options.seconds, options.jobs, options.plain) else 1


if __name__ == "__main__":
    sys.exit(main())
