"""
Runs the rounds of a case, and keeps what they found.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tests.benchmarks.cases import CASES, Case, Entry, Figure
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.figures import Summary, ratios, rounded, summary
from tests.benchmarks.running import Layout, MeasurementFailed, Result, measure

# Open files that a process has beside its connections.
_FILES = 50

#: Runs one entry of a case once.
Measure = Callable[[Entry, Layout], Result]


@dataclass
class Findings:
    """
    What the rounds of one case on one layout found.

    @ivar date: when it ended.
    @ivar rounds: by the entry's name: what each round found.
    @ivar yardsticks: by the entry's name: the entry that it is measured by; those
        that are measured by none are absent.
    @ivar failed: by the entry's name: what went wrong.
    @ivar absent: by the entry's name: why it was not tried here.
    @ivar unpinned: the entries that were not bound to the layout's cores.
    """

    case: Case
    layout: str
    date: str = ""
    rounds: dict[str, list[Result]] = field(default_factory=dict)
    yardsticks: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unpinned: list[str] = field(default_factory=list)

    def has(self, entry: str, figure: Figure) -> bool:
        """
        Is there that figure?  Not everything has a meaning on each wire.
        """
        return all(figure.key in result for result in self.rounds[entry])

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

    def comparable(self, entry: str) -> bool:
        """
        Is there a yardstick for it?
        """
        return self.yardsticks.get(entry) in self.rounds

    def ratio(self, entry: str, figure: Figure, by: str | None = None) -> Summary:
        """
        Median and range of the rounds' ratios to another entry: by default to its
        yardstick.

        @raise KeyError: one of the two has no results.
        """
        other = self.values(self.yardsticks[entry] if by is None else by, figure)
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
            "date": self.date,
            "yardsticks": self.yardsticks,
            "unpinned": self.unpinned,
            "failed": self.failed,
            "absent": self.absent,
            "rounds": {
                entry: {
                    figure.key: [rounded(result[figure.key]) for result in results]
                    for figure in self.case.figures
                    if self.has(entry, figure)
                }
                for entry, results in self.rounds.items()
            },
            "figures": {figure.key: self._raw(figure) for figure in self.case.figures},
        }

    def _raw(self, figure: Figure) -> dict[str, Any]:
        entries = [entry for entry in self.rounds if self.has(entry, figure)]
        return {
            "unit": figure.unit,
            "scale": figure.scale,
            "moreIsBetter": figure.more,
            "medians": {
                entry: rounded(self.summary(entry, figure).median) for entry in entries
            },
            "ratios": {
                entry: self.ratio(entry, figure).rounded()
                for entry in entries
                if self.comparable(entry)
            },
        }

    @classmethod
    def fromRaw(cls, raw: Mapping[str, Any]) -> Findings:
        """
        From JSON.

        @raise KeyError: there is no such case any more.
        """
        found = cls(CASES[raw["case"]], raw["cores"], raw["date"])
        for entry, columns in raw["rounds"].items():
            found.rounds[entry] = [
                dict(zip(columns, values, strict=True))
                for values in zip(*columns.values(), strict=True)
            ]
        found.yardsticks.update(raw["yardsticks"])
        found.failed.update(raw["failed"])
        found.absent.update(raw["absent"])
        found.unpinned.extend(raw["unpinned"])
        return found


def whyNot(entry: Entry) -> str | None:
    """
    Why an entry can't be tried here, in words; C{None} if it can.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = entry.connections + _FILES
    if most != resource.RLIM_INFINITY and needed > most:
        return f"{needed} open files, {most} are allowed"
    return None


def measureEntry(warm: float, seconds: float) -> Measure:
    """
    What runs an entry for real.
    """

    def run(entry: Entry, layout: Layout) -> Result:
        result = measure(
            entry.command,
            entry.contestant.wire,
            entry.job.lasting(warm, seconds),
            layout,
            entry.pinned,
        )
        if result.get("rate") == 0:
            raise MeasurementFailed("nothing came through while it was measured")
        if "rate" in result:
            result["cost"] = 1e6 / result["rate"]
        return result

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
    findings = Findings(case, layout.name, absent=case.absent(of))
    entries = []
    for entry in case.entries(of):
        why = whyNot(entry)
        if why is not None:
            findings.absent[entry.name] = why
            continue
        entries.append(entry)
        findings.rounds[entry.name] = []
        if entry.by:
            findings.yardsticks[entry.name] = entry.by
        if not entry.pinned:
            findings.unpinned.append(entry.name)
    rounds = 1 if case.exact else rounds
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
    findings.date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return findings
