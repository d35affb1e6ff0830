"""
What is measured: each case is a job for all contestants, and the figures that come
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from tests.benchmarks.contestants import OURS, YARDSTICK, Contestant
from tests.benchmarks.job import Job
from twisted_mux.config import MuxConfig


@dataclass(frozen=True)
class Figure:
    """
    One figure of a case.

    @ivar key: its name in results.
    @ivar unit: what it is counted in, once it was divided by C{scale}.
    @ivar more: is more of it better?
    """

    key: str
    unit: str
    scale: float = 1
    more: bool = True
    digits: int = 0


RATE = {
    "bulk": Figure("rate", "MB/s", 1e6),
    "echo": Figure("rate", "messages/s"),
    "churn": Figure("rate", "opens/s"),
    "memory": Figure("bytes", "bytes a stream", more=False),
}
P50 = Figure("p50", "µs (p50)", more=False)
P99 = Figure("p99", "µs (p99)", more=False)


@dataclass(frozen=True)
class Case:
    """
    One case.

    @ivar group: the cases that go together with it.
    @ivar one: C{"twisted"} has a second entry, in which it does the job of this
        many connections, and which is what the others are measured by.
    @ivar only: the peers that take part, if not all that can.
    """

    name: str
    group: str
    title: str
    job: Job
    figures: Sequence[Figure]
    one: int = 0
    only: Sequence[str] = ()

    def takes(self, contestant: Contestant) -> bool:
        """
        Can it take part?
        """
        peer = contestant.peer
        return self.job.kind in peer.kinds and (not self.only or peer.name in self.only)

    def entries(self, of: Sequence[Contestant]) -> list[Entry]:
        """
        Who takes part, in the order of their turns: the yardstick first.
        """
        found = [
            Entry(each.name, each, self.jobFor(each)) for each in of if self.takes(each)
        ]
        if self.one:
            bare = found[0].contestant
            single = replace(self.job, streams=self.one)
            found.insert(0, Entry(f"{bare.name} x{self.one}", bare, single))
        return found

    def jobFor(self, contestant: Contestant) -> Job:
        """
        The job, without what is no concern of others than us.
        """
        if contestant.peer.name == OURS:
            return self.job
        return replace(self.job, config={})


@dataclass(frozen=True)
class Entry:
    """
    A contestant in a case.
    """

    name: str
    contestant: Contestant
    job: Job

    @property
    def pinned(self) -> bool:
        """
        Is it bound to the layout's cores?
        """
        return self.contestant.peer.pinsLatency or not self.job.latency


def bulk(streams: int) -> Case:
    """
    Blocks on so many streams.
    """
    job = Job("bulk", streams)
    plural = "" if streams == 1 else "s"
    return Case(
        f"bulk-{streams}",
        "bulk",
        f"bulk, {streams} stream{plural}",
        job,
        (RATE["bulk"],),
        one=1 if streams > 1 else 0,
    )


def echo(streams: int) -> Case:
    """
    Messages on so many streams.
    """
    plural = "" if streams == 1 else "s"
    return Case(
        f"echo-{streams}",
        "echo",
        f"echo of 64 bytes, {streams} stream{plural}",
        Job("echo", streams),
        (RATE["echo"],),
    )


def beside(streams: int) -> Case:
    """
    A message beside so many streams with bulk.
    """
    plural = "" if streams == 1 else "s"
    return Case(
        f"beside-{streams}",
        "beside",
        f"echo of 64 bytes beside {streams} bulk stream{plural}",
        Job("echo", 1, bulk=streams, latency=True),
        (P50, P99),
    )


def largeReads() -> Case | None:
    """
    Bulk with the option for larger reads, if there is one.
    """
    if "readSize" not in {each.name for each in fields(MuxConfig)}:
        return None
    return Case(
        "bulk-1-large-reads",
        "bulk",
        "bulk, 1 stream, reads of 256 KiB",
        Job("bulk", 1, config={"readSize": 256 * 1024}),
        (RATE["bulk"],),
        only=(YARDSTICK, OURS),
    )


def _all() -> list[Case]:
    pulled = Case(
        "bulk-1-pull",
        "bulk",
        "bulk, 1 stream, from a pull producer",
        Job("bulk", 1, pull=True),
        (RATE["bulk"],),
        only=(YARDSTICK, OURS),
    )
    churn = Case(
        "open-100",
        "open",
        "open, echo, close, 100 at once",
        Job("churn", 100),
        (RATE["churn"],),
    )
    found = [
        bulk(1),
        bulk(16),
        bulk(100),
        pulled,
        largeReads(),
        echo(1),
        echo(100),
        churn,
        beside(1),
        beside(16),
        beside(100),
    ]
    return [case for case in found if case is not None]


#: All cases, by name.
CASES = {case.name: case for case in _all()}
#: What several of them can be asked for by.
GROUPS = list(dict.fromkeys(case.group for case in CASES.values()))


def chosen(names: Sequence[str]) -> list[Case]:
    """
    The cases that were asked for, by name or by group; all if none was.

    @raise ValueError: there is no such case.
    """
    for name in names:
        if name not in CASES and name not in GROUPS:
            raise ValueError(
                f"there is no case {name!r}; there are {', '.join([*GROUPS, *CASES])}"
            )
    return [
        case
        for case in CASES.values()
        if not names or case.name in names or case.group in names
    ]
