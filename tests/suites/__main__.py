"""
Whole suites of Twisted's own applications, with C{listenTCP} and C{connectTCP} routed
through streams: the same results as over TCP, test by test, or it is said here why not.

Run it: C{python -m tests.suites}.  Each run of the suites is a process of its own; one
is over TCP, for comparison, the others are on the wires.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.suites.worker import TCP
from twisted_mux.wire import wireNames

ROOT = Path(__file__).parents[2]
# Seconds for one run.
TIMEOUT = 600
# Runs at once: half of their time the tests wait for something.
_AT_ONCE = 2 * (os.cpu_count() or 1)

#: Each suite, and the modules or packages that it is in.
SUITES: Mapping[str, Sequence[str]] = {
    "mail": (
        "twisted.mail.test.test_mail",
        "twisted.mail.test.test_smtp",
        "twisted.mail.test.test_imap",
        "twisted.mail.test.test_pop3",
        "twisted.mail.test.test_pop3client",
    ),
    "web": (
        "twisted.web.test.test_xmlrpc",
        "twisted.web.test.test_distrib",
    ),
    "amp": ("twisted.test.test_amp",),
    "pb": ("twisted.spread.test.test_pb",),
    "ftp": ("twisted.test.test_ftp",),
    "policies": ("twisted.test.test_policies",),
    "protocols": ("twisted.test.test_protocols", "twisted.protocols.test"),
    "words": ("twisted.words.test",),
}

#: What is different on streams: by the test's id, on which wires, its outcome there,
#: and why that can't be otherwise.  An entry that is not true fails.
DIFFERENCES: Mapping[str, tuple[Sequence[str], str, str]] = {}


@dataclass
class Run:
    """
    One run of all suites.

    @ivar outcomes: by the test's id: the word for it, and its reason.
    @ivar streams: how many streams there were, by the module.
    """

    outcomes: Mapping[str, tuple[str, str]]
    streams: Mapping[str, int]

    def of(self, modules: Sequence[str]) -> set[tuple[str, str]]:
        """
        The tests of these modules, each with its outcome.
        """
        return {
            (test, outcome)
            for test, (outcome, _) in self.outcomes.items()
            if any(test.startswith(f"{module}.") for module in modules)
        }


def compare(
    wire: str,
    tcp: Run,
    run: Run,
    differences: Mapping[str, tuple[Sequence[str], str, str]] = DIFFERENCES,
) -> list[str]:
    """
    What is different without being said so, or said to be different and is not.
    """
    problems = []
    absent = ("absent", "")
    for test in sorted({*tcp.outcomes, *run.outcomes, *differences}):
        expected, _ = tcp.outcomes.get(test, absent)
        wires, outcome, _ = differences.get(test, ((), "", ""))
        if wire in wires:
            if outcome == expected:
                problems.append(
                    f"{test}: is said to differ, but {outcome} it is on TCP"
                )
            expected = outcome
        found, reason = run.outcomes.get(test, absent)
        if found != expected:
            problems.append(f"{test}: {expected} expected, {found} found\n{reason}")
    for suite, modules in SUITES.items():
        if not sum(run.streams.get(module, 0) for module in modules):
            problems.append(f"{suite}: no stream was opened, so nothing was shown")
    return problems


def runSuites(wire: str, folder: Path) -> Run:
    """
    Run all suites, over TCP or on a wire.

    @raise RuntimeError: it did not get to its end.
    """
    report = folder / f"{wire}.json"
    modules = [module for suite in SUITES.values() for module in suite]
    done = subprocess.run(
        [sys.executable, "-m", "tests.suites.worker", wire, str(report), *modules],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode or not report.exists():
        raise RuntimeError(
            f"{wire}: exit code {done.returncode}\n{done.stdout[-5000:]}"
        )
    content = json.loads(report.read_text())
    return Run(
        {test: (word, reason) for test, (word, reason) in content["outcomes"].items()},
        content["streams"],
    )


def main() -> int:
    """
    Run, compare, print.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.suites", description="Twisted's own suites on streams."
    )
    parser.add_argument("--wire", action="append", choices=wireNames())
    wires = parser.parse_args().wire or list(wireNames())
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(_AT_ONCE) as threads,
    ):
        runs = dict(
            zip(
                [TCP, *wires],
                threads.map(lambda wire: runSuites(wire, Path(folder)), [TCP, *wires]),
                strict=True,
            )
        )
    tcp = runs.pop(TCP)
    print(f"{'wire':8} {'suite':10} tests  same  streams")
    failed = 0
    for wire, run in runs.items():
        problems = compare(wire, tcp, run)
        for suite, modules in SUITES.items():
            streams = sum(run.streams.get(module, 0) for module in modules)
            tests = run.of(modules)
            same = tests & tcp.of(modules)
            print(f"{wire:8} {suite:10} {len(tests):5} {len(same):5} {streams:8}")
        for problem in problems:
            print(f"{wire}: {problem}")
        failed += len(problems)
    # What does not succeed over TCP either says something about the environment.
    others = Counter(word for word, _ in tcp.outcomes.values() if word != "success")
    for word, count in sorted(others.items()):
        print(f"over TCP too: {count} {word}")
    explained = len(DIFFERENCES)
    print(f"{failed} unexplained differences, {explained} explained")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
