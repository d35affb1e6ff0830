"""
What the project promises, in one table: the report says which of it is met, and the
tests hold us to what does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.cases import Figure
from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import OURS, PEERS, TWIST, Contestant
from tests.benchmarks.figures import summary
from twisted_mux.config import KIB, MuxConfig

#: The wires for which the targets are.
WIRES = ("yamux", "smux2")

#: In-memory cost of a 64-byte frame, in and out, by a bare loop that unpacks and
#: slices,
FRAME_COST = 3.0
#: and what the tests hold us to by the clock, in plain Python and compiled: other
#: processors divide the time otherwise between byte code and what it calls.
FRAME_COST_GATE = 3.2
FRAME_COST_COMPILED = 3.4
#: What is done for it, counted: no machine's noise gets into that.  Calls, of Python's
#: functions and of C's,
FRAME_CALLS = 8
#: and instructions of CPython 3.11's byte code.
FRAME_INSTRUCTIONS = 149
#: Bytes of an idle stream: transport and engine state, in CPython 3.11.
IDLE_STREAM = 800
#: The share of a link's rate that one stream reaches, after its first two seconds.
LINK_SHARE = 0.95
#: The window of a stream that never needs a wider one, as it begins.
WINDOW = MuxConfig().window
#: By wire: how often that of a steady one may be doubled.  Where the round trip can
#: only be estimated it is doubled once, before that is known (L{twisted_mux.engine.credit}
#: has the argument).
STEADY: Mapping[str, int] = {"yamux": 1, "smux2": 2}

BARE = ("twisted",)
ONE_BARE = ("twisted x1",)
GO = ("go-smux smux1", "go-smux smux2", "go-yamux yamux")
EVERYBODY = tuple(
    Contestant(peer, wire).name
    for peer in PEERS.values()
    if peer.name not in (OURS, TWIST)
    for wire in peer.wires
)
#: An entry of ours.
ENTRY = f"{OURS} {{wire}}"


@dataclass(frozen=True)
class Target:
    """
    A ratio to others in the same case, to ourselves in another, or a value.

    @ivar cores: on which layout; empty: wherever there are figures.
    @ivar by: entries of the same case; who does best of those that took part counts.
    @ivar bound: what is promised: at least, if more is better.
    @ivar figure: the figure's key.
    @ivar byCase: a case, in which the same entry is what it is measured by.
    @ivar wires: for which wires it is.
    @ivar entry: the entry's name, with the wire's in it.
    @ivar beyond: it is not promised, but wished for.
    """

    case: str
    cores: str
    by: Sequence[str]
    bound: float
    figure: str = "rate"
    byCase: str = ""
    wires: Sequence[str] = WIRES
    entry: str = ENTRY
    beyond: bool = False


def _windows() -> Iterator[Target]:
    """
    What may become of the windows of streams that never need a wider one, in KiB.
    """
    for wire in WIRES:
        yield Target("link", "", (), WINDOW / KIB, "slow", wires=[wire])
        most = STEADY[wire] * WINDOW / KIB
        yield Target("link", "", (), most, "steady", wires=[wire])


TARGETS: Sequence[Target] = (
    Target("bulk-1", "one", BARE, 0.9),
    Target("bulk-1-large-reads", "one", BARE, 1.2),
    Target("bulk-16", "one", ONE_BARE, 0.85),
    Target("bulk-100", "one", ONE_BARE, 0.85),
    Target("echo-1", "one", BARE, 0.95),
    Target("echo-100", "one", BARE, 8),
    Target("echo-100", "one", GO, 3),
    Target("echo-100", "two", BARE, 4),
    Target("echo-100", "two", GO, 2),
    Target("open-100", "one", BARE, 12),
    Target("open-100", "one", GO, 3),
    Target("open-100", "two", BARE, 6),
    Target("open-100", "two", GO, 2),
    *(
        Target("beside-1", cores, EVERYBODY, 1, figure)
        for cores in ("one", "two")
        for figure in ("p50", "p99")
    ),
    *(
        Target("beside-100", cores, (), 2, figure, byCase="beside-1")
        for cores in ("one", "two")
        for figure in ("p50", "p99")
    ),
    Target("frame-cost", "", (), FRAME_COST, "best"),
    Target("idle-memory", "", (), IDLE_STREAM, "bytes"),
    *(
        Target(
            "calls",
            "",
            (f"{OURS} {wire}, 10 idle",),
            1,
            figure,
            wires=[wire],
            entry=f"{ENTRY}, 10,000 idle",
        )
        for wire in WIRES
        for figure in ("calls", "instructions")
    ),
    Target("link", "", (), 100 * LINK_SHARE, "share-100"),
    *_windows(),
    Target("bulk-1", "one", BARE, 1.2, beyond=True),
    Target("echo-1", "one", BARE, 1.5, beyond=True),
)


@dataclass(frozen=True)
class Verdict:
    """
    Whether a target is met on one wire.

    @ivar value: the ratio, or what else it is about.
    @ivar by: what it is a ratio to, or its unit.
    @ivar more: is more of it better?
    """

    target: Target
    entry: str
    value: float
    by: str
    more: bool

    @property
    def met(self) -> bool:
        """
        Is it?
        """
        bound = self.target.bound
        return self.value >= bound if self.more else self.value <= bound

    @property
    def word(self) -> str:
        """
        The same in a word.
        """
        if self.target.beyond:
            return "beyond" if self.met else "not yet"
        return "met" if self.met else "missed"

    @property
    def wanted(self) -> str:
        """
        What is promised, in words.
        """
        return f"{'at least' if self.more else 'at most'} {self.target.bound:g}"

    def raw(self) -> dict[str, Any]:
        """
        For JSON.
        """
        return {
            **asdict(self.target),
            "by": self.by,
            "entry": self.entry,
            "value": float(f"{self.value:.4g}"),
            "moreIsBetter": self.more,
            "met": self.met,
        }


def verdicts(found: Sequence[Findings]) -> list[Verdict]:
    """
    On all targets for which there are figures.
    """
    return [
        verdict
        for target in TARGETS
        for findings in found
        if findings.case.name == target.case and target.cores in ("", findings.layout)
        for wire in target.wires
        for verdict in _verdict(target, wire, findings, found)
    ]


def _verdict(
    target: Target, wire: str, findings: Findings, found: Sequence[Findings]
) -> Iterator[Verdict]:
    entry = target.entry.format(wire=wire)
    figure = next(f for f in findings.case.figures if f.key == target.figure)
    if entry not in findings.rounds or not findings.has(entry, figure):
        return
    if target.byCase:
        for other in found:
            where = (other.case.name, other.layout)
            if where == (target.byCase, findings.layout) and entry in other.rounds:
                # Not of the same rounds, so medians are all there is.
                value = _median(findings, entry, figure)
                value /= _median(other, entry, figure)
                yield Verdict(target, entry, value, target.byCase, figure.more)
        return
    if not target.by:
        value = _median(findings, entry, figure)
        yield Verdict(target, entry, value, figure.unit, figure.more)
        return
    ratios = {
        by: findings.ratio(entry, figure, by).median
        for by in target.by
        if by in findings.rounds
        # On one core there is no comparing with what has run on two.
        and not (findings.layout == "one" and by in findings.unpinned)
    }
    if ratios:
        hardest = (min if figure.more else max)(ratios, key=lambda by: ratios[by])
        yield Verdict(target, entry, ratios[hardest], hardest, figure.more)


def _median(findings: Findings, entry: str, figure: Figure) -> float:
    return summary(findings.values(entry, figure)).median
