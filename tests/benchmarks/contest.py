"""
Runs the rounds of a case, and keeps what they found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.cases import Case, Entry, Figure
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.figures import Summary, ratios, summary
from tests.benchmarks.running import Layout, MeasurementFailed, Result, measure

#: Runs one entry of a case once.
Measure = Callable[[Entry, Layout], Result]


@dataclass
class Findings:
    """
    What the rounds of one case on one layout found.

    @ivar rounds: by the entry's name: what each round found.
    @ivar yardstick: the entry that the others are measured by.
    @ivar failed: by the entry's name: why it was left out.
    @ivar unpinned: the entries that were not bound to the layout's cores.
    """

    case: Case
    layout: str
    yardstick: str = ""
    rounds: dict[str, list[Result]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unpinned: list[str] = field(default_factory=list)

    def values(self, entry: str, figure: Figure) -> list[float]:
        """
        Each round's value, in the figure's unit.
        """
        return [result[figure.key] / figure.scale for result in self.rounds[entry]]

    def summary(self, entry: str, figure: Figure) -> Summary:
        """
        Median and range.
        """
        return summary(self.values(entry, figure))

    def ratio(self, entry: str, figure: Figure, by: str | None = None) -> Summary:
        """
        Median and range of the rounds' ratios to another entry: by default to the
        yardstick.

        @raise KeyError: one of the two has no results.
        """
        other = self.values(self.yardstick if by is None else by, figure)
        return summary(ratios(self.values(entry, figure), other))

    def raw(self) -> dict[str, Any]:
        """
        All of it, for JSON.
        """
        return {
            "case": self.case.name,
            "group": self.case.group,
            "title": self.case.title,
            "cores": self.layout,
            "yardstick": self.yardstick,
            "unpinned": self.unpinned,
            "failed": self.failed,
            "rounds": self.rounds,
            "figures": {
                figure.key: {
                    "unit": figure.unit,
                    "scale": figure.scale,
                    "moreIsBetter": figure.more,
                    "medians": {
                        entry: self.summary(entry, figure).median
                        for entry in self.rounds
                    },
                    "ratios": {
                        entry: vars(self.ratio(entry, figure))
                        for entry in self.rounds
                        if self.yardstick in self.rounds
                    },
                }
                for figure in self.case.figures
            },
        }


def measureEntry(warm: float, seconds: float) -> Measure:
    """
    What runs an entry for real.
    """

    def run(entry: Entry, layout: Layout) -> Result:
        return measure(
            entry.contestant.peer.command(),
            entry.contestant.wire,
            entry.job.lasting(warm, seconds),
            layout,
            entry.pinned,
        )

    return run


def contest(
    case: Case,
    of: Sequence[Contestant],
    layout: Layout,
    rounds: int,
    run: Measure,
    progress: Callable[[str], object] = lambda text: None,
) -> Findings:
    """
    Let all entries of a case run in turn, so many times.  One that fails is left
    out from then on, with what it had before.
    """
    entries = case.entries(of)
    findings = Findings(case, layout.name, entries[0].name)
    findings.rounds = {entry.name: [] for entry in entries}
    findings.unpinned = [entry.name for entry in entries if not entry.pinned]
    for number in range(rounds):
        for entry in entries:
            if entry.name in findings.failed:
                continue
            progress(f"{case.name}, round {number + 1} of {rounds}: {entry.name}")
            try:
                result = run(entry, layout)
            except MeasurementFailed as error:
                findings.failed[entry.name] = str(error)
                del findings.rounds[entry.name]
            else:
                findings.rounds[entry.name].append(result)
    return findings
