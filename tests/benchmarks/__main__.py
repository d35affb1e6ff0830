"""
How fast it is, beside what else there is: C{README.md} says how to measure and how to
read the figures.

Run it: C{python -m tests.benchmarks --quick}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.benchmarks.cases import CASES, chosen
from tests.benchmarks.contest import Findings, contest, measureEntry
from tests.benchmarks.contestants import PEERS, contestants
from tests.benchmarks.plot import plot
from tests.benchmarks.report import document, environment, show, showVerdicts
from tests.benchmarks.running import layouts
from tests.benchmarks.targets import verdicts
from twisted_mux.wire import wireNames

#: Warming up and measuring, in seconds, and rounds; and the same in a hurry.
THOROUGH = (0.2, 0.6, 5)
QUICK = (0.15, 0.3, 3)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """
    The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="How fast it is."
    )
    parser.add_argument(
        "--case", action="append", default=[], help="a case or a group of cases"
    )
    parser.add_argument("--wire", action="append", default=[], choices=wireNames())
    parser.add_argument("--peer", action="append", default=[], choices=list(PEERS))
    parser.add_argument("--cores", choices=("one", "two", "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="shorter, 3 rounds")
    parser.add_argument("--rounds", type=int, help="how often each has its turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)"
    )
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    try:
        options.cases = chosen(options.case)
        names = ("one", "two") if options.cores == "both" else (options.cores,)
        options.layouts = [] if options.list else layouts(names)
    except ValueError as error:
        parser.error(str(error))
    if options.plot is not None and all(case.job.alone for case in options.cases):
        parser.error("--plot: no case that was asked for has a yardstick")
    return options


def listed() -> str:
    """
    What there is.
    """
    lines = [f"{case.name:20} {case.title}" for case in CASES.values()]
    lines.append("")
    for peer in PEERS.values():
        why = peer.missing()
        lines.append(f"{peer.name:20} {', '.join(peer.wires)}{f' ({why})' * bool(why)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Measure, and print.

    @return: 0 unless somebody failed; missed targets are no failure.
    """
    options = parse(arguments)
    if options.list:
        print(listed())
        return 0
    # Where there is no terminal its width is anybody's guess.
    console = Console(width=None if sys.stdout.isatty() else 110)
    progress = Console(stderr=True)
    of, absent = contestants(options.peer, options.wire)
    for line in absent:
        console.print(line)
    warm, seconds, rounds = QUICK if options.quick else THOROUGH
    rounds = options.rounds or rounds
    found: list[Findings] = []
    for case in options.cases:
        # How many cores there are makes no difference to one process.
        for layout in options.layouts[: 1 if case.job.alone else None]:
            with progress.status(case.name) as status:
                run = measureEntry(warm, seconds)
                findings = contest(case, of, layout, rounds, run, status.update)
            show(console, findings)
            found.append(findings)
    said = verdicts(found)
    showVerdicts(console, said)
    if options.json is not None:
        times = {"warm": warm, "seconds": seconds, "rounds": rounds}
        content = document(environment(of), times, found, said)
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    if options.plot is not None:
        plot(found, options.plot)
    return 1 if any(findings.failed for findings in found) else 0


if __name__ == "__main__":
    sys.exit(main())
