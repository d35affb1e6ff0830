"""
What the project promises, in one table: the report says which of it is met, and the
tests hold us to what does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import OURS

#: The wires for which the targets are.
WIRES = ("yamux", "smux2")

#: In-memory cost of a 64-byte frame, in and out, by a bare loop that unpacks and
#: slices.
FRAME_COST = 3.6
#: Bytes of an idle stream: transport and engine state, in CPython 3.11.
IDLE_STREAM = 800
#: The share of a link's rate that one stream reaches, after its first two seconds.
LINK_SHARE = 0.95


@dataclass(frozen=True)
class Target:
    """
    A ratio to another entry of the same case.

    @ivar by: that entry.
    @ivar bound: the ratio that is promised: at least, if more is better.
    """

    case: str
    cores: str
    by: str
    bound: float
    figure: str = "rate"


TARGETS: Sequence[Target] = (
    Target("bulk-1", "one", "twisted", 0.9),
    Target("bulk-1-large-reads", "one", "twisted", 1.2),
    Target("bulk-16", "one", "twisted x1", 0.85),
    Target("bulk-100", "one", "twisted x1", 0.85),
    Target("echo-1", "one", "twisted", 0.95),
    Target("echo-100", "one", "twisted", 8),
    Target("echo-100", "one", "go-smux smux2", 3),
    Target("echo-100", "one", "go-yamux yamux", 3),
    Target("echo-100", "two", "twisted", 4),
    Target("echo-100", "two", "go-smux smux2", 2),
    Target("echo-100", "two", "go-yamux yamux", 2),
    Target("open-100", "one", "twisted", 12),
    Target("open-100", "one", "go-smux smux2", 3),
    Target("open-100", "one", "go-yamux yamux", 3),
    Target("open-100", "two", "twisted", 6),
    Target("open-100", "two", "go-smux smux2", 2),
    Target("open-100", "two", "go-yamux yamux", 2),
    *(
        Target("beside-1", cores, by, 1, figure)
        for cores in ("one", "two")
        for by in ("twisted", "go-smux smux2", "go-yamux yamux")
        for figure in ("p50", "p99")
    ),
)


@dataclass(frozen=True)
class Verdict:
    """
    Whether a target is met on one wire.
    """

    target: Target
    entry: str
    ratio: float
    met: bool

    def __str__(self) -> str:
        least = "at most" if self.target.figure in ("p50", "p99") else "at least"
        figure = "" if self.target.figure == "rate" else f" ({self.target.figure})"
        return (
            f"{self.target.case}{figure}, {self.target.cores} core"
            f"{'s' if self.target.cores == 'two' else ''}: {self.entry} is "
            f"{self.ratio:.2f} of {self.target.by}, {least} {self.target.bound:g} "
            f"wanted"
        )


def verdicts(found: Sequence[Findings]) -> list[Verdict]:
    """
    On all targets for which there are figures.
    """
    said = []
    for target in TARGETS:
        for findings in found:
            if (findings.case.name, findings.layout) != (target.case, target.cores):
                continue
            figure = next(f for f in findings.case.figures if f.key == target.figure)
            for entry in (f"{OURS} {wire}" for wire in WIRES):
                if not {entry, target.by} <= findings.rounds.keys():
                    continue
                ratio = findings.ratio(entry, figure, target.by).median
                met = ratio >= target.bound if figure.more else ratio <= target.bound
                said.append(Verdict(target, entry, ratio, met))
    return said
