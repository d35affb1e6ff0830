"""
How fast it is, beside what else there is: C{README.md} says how to measure and how to
read the figures.

Run it: C{python -m tests.benchmarks --quick}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.cases import CASES, chosen
from tests.benchmarks.contest import Findings, contest, measureEntry
from tests.benchmarks.contestants import PEERS, contestants
from tests.benchmarks.plot import plot, plots
from tests.benchmarks.report import (
    document,
    environment,
    load,
    show,
    showVerdicts,
    written,
)
from tests.benchmarks.running import layouts
from tests.benchmarks.targets import verdicts
from twisted_mux.wire import wireNames

#: Warming up and measuring, in seconds, and rounds; and the same in a hurry.
THOROUGH = (0.2, 0.6, 5)
QUICK = (0.15, 0.3, 3)
#: Longer than that nobody waits for a measurement to end.
MOST_WARM = 30.0


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
    parser.add_argument(
        "--warm", type=float, metavar="SECONDS", help="how long each warms up first"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    parser.add_argument(
        "--add", action="store_true", help="keep that file's other cases"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)"
    )
    parser.add_argument(
        "--plots", type=Path, metavar="FOLDER", help="a drawing of each group of cases"
    )
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    if options.warm is not None and not 0 < options.warm < MOST_WARM:
        parser.error(f"--warm: more than 0 and less than {MOST_WARM:g}")
    try:
        options.cases = chosen(options.case)
        names = ("one", "two") if options.cores == "both" else (options.cores,)
        options.layouts = [] if options.list else layouts(names)
    except ValueError as error:
        parser.error(str(error))
    if options.add and options.json is None:
        parser.error("--add: which --json FILE?")
    drawing = options.plot is not None or options.plots is not None
    if drawing and all(case.job.alone for case in options.cases):
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
        lines += [f"{'':20} no {kind}: {why}" for kind, why in peer.cannot.items()]
    return "\n".join(lines)


@dataclass
class File:
    """
    Where everything that was found is kept: it is written after each case, so what
    there was so far is there if the rest is not waited for.

    @ivar found: the findings, in the order of L{CASES}.
    """

    path: Path | None
    environment: dict[str, Any]
    times: Mapping[str, float]
    found: list[Findings] = field(default_factory=list)

    def load(self) -> None:
        """
        Begin with what the file has.

        @raise ValueError: that was measured in another way.
        """
        assert self.path is not None
        if not self.path.exists():
            return
        content, self.found = load(self.path.read_text())
        if content["options"] != self.times:
            raise ValueError(f"{self.path} has been measured with other times")
        peers = content["environment"]["peers"] | self.environment["peers"]
        self.environment["peers"] = peers

    def add(self, findings: Findings) -> None:
        """
        Keep them, in the place of older ones.
        """
        what = (findings.case.name, findings.layout)
        kept = [it for it in self.found if (it.case.name, it.layout) != what]
        order = list(CASES)
        self.found = sorted(
            [*kept, findings], key=lambda it: (order.index(it.case.name), it.layout)
        )
        if self.path is not None:
            content = document(
                self.environment, self.times, self.found, verdicts(self.found)
            )
            self.path.write_text(written(content) + "\n")


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
        console.print(line, markup=False)
    warm, seconds, rounds = QUICK if options.quick else THOROUGH
    rounds = options.rounds or rounds
    warm = options.warm or warm
    times = {"warm": warm, "seconds": seconds, "rounds": rounds}
    file = File(options.json, environment(of), times)
    if options.add:
        try:
            file.load()
        except ValueError as error:
            console.print(str(error), markup=False)
            return 2
    failed = False
    for case in options.cases:
        alone = case.oneCore or case.job.alone
        for layout in options.layouts[: 1 if alone else None]:
            with progress.status(case.name) as status:
                run = measureEntry(warm, seconds)
                findings = contest(case, of, layout, rounds, run, status.update)
            show(console, findings)
            file.add(findings)
            failed = failed or bool(findings.failed)
    showVerdicts(console, verdicts(file.found))
    if options.plot is not None:
        plot(file.found, options.plot)
    if options.plots is not None:
        plots(file.found, options.plots)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
