"""
What is measured: each case is a job for all contestants, and the figures that come
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.contestants import (
    OURS,
    YARDSTICK,
    Contestant,
    Peer,
    worker,
)
from tests.benchmarks.job import TCP, Job
from tests.benchmarks.scaling import IDLE
from tests.benchmarks.virtual_link import ROUND_TRIPS
from twisted_mux.config import KIB, MIB


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


RATE = {
    "bulk": Figure("rate", "MB/s", 1e6),
    "echo": Figure("rate", "messages/s"),
    "churn": Figure("rate", "opens/s"),
    "memory": Figure("bytes", "bytes a stream", more=False),
}
#: How many streams there are where it is about memory.
IDLE_STREAMS = 10_000
#: Bytes read at once, with the option for larger reads.
LARGE_READ = MIB
P50 = Figure("p50", "µs (p50)", more=False)
P99 = Figure("p99", "µs (p99)", more=False)


@dataclass(frozen=True)
class Entry:
    """
    A contestant's turn in a case.

    @ivar by: the entry that it is measured by; empty if there is none.
    """

    name: str
    contestant: Contestant
    job: Job
    command: Sequence[str]
    by: str = ""

    @property
    def pinned(self) -> bool:
        """
        Is it bound to the layout's cores?
        """
        return self.contestant.peer.pinsLatency or not self.job.latency

    @property
    def connections(self) -> int:
        """
        How many connections it takes.
        """
        job = self.job
        bare = self.contestant.wire == TCP or self.contestant.peer.tunnel
        return job.streams + job.bulk + job.idle if bare else 1


@dataclass(frozen=True)
class Case:
    """
    One case.

    @ivar group: the cases that go together with it.
    @ivar one: the yardstick has a second entry, in which it has this many
        connections, and which is what the others are measured by.
    @ivar idle: each contestant has one entry for each of these numbers of idle
        streams, and is measured by its own first.
    @ivar only: the peers that take part, if not all that can.
    @ivar oneCore: it is about what something costs, not about how long it takes:
        there is nothing to be learnt from a second core.
    @ivar exact: it comes out the same each time: one round will do.
    """

    name: str
    group: str
    title: str
    job: Job
    figures: Sequence[Figure]
    one: int = 0
    idle: Sequence[int] = ()
    only: Sequence[str] = ()
    oneCore: bool = False
    exact: bool = False

    def takes(self, contestant: Contestant) -> bool:
        """
        Can it take part?
        """
        peer = contestant.peer
        return peer.takes(self.job) and (not self.only or peer.name in self.only)

    def absent(self, of: Sequence[Contestant]) -> dict[str, str]:
        """
        Who can't do what the others do here, and why.
        """
        if self.only:
            return {}
        kind = self.job.kind
        return {
            each.name: each.peer.cannot[kind] for each in of if kind in each.peer.cannot
        }

    def command(self, peer: Peer) -> Sequence[str]:
        """
        What starts a process of it.
        """
        return worker("alone") if self.job.alone else peer.command()

    def entries(self, of: Sequence[Contestant]) -> list[Entry]:
        """
        Who takes part, in the order of their turns: a yardstick comes before
        those that are measured by it.
        """
        found = []
        by = ""
        for each in of:
            if not self.takes(each):
                continue
            command = self.command(each.peer)
            # What is no concern of others than us is not in their jobs.
            job = self.job
            if each.peer.name != OURS:
                job = replace(job, config={})
            if self.idle:
                names = [f"{each.name}, {idle:,} idle" for idle in self.idle]
                found += [
                    Entry(name, each, replace(job, idle=idle), command, names[0])
                    for name, idle in zip(names, self.idle, strict=True)
                ]
                continue
            if each.peer.name == YARDSTICK:
                by = each.name
                if self.one:
                    by = f"{each.name} x{self.one}"
                    single = replace(job, streams=self.one)
                    found.append(Entry(by, each, single, command, by))
            found.append(Entry(each.name, each, job, command, by))
        return found


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


def _machineless() -> list[Case]:
    """
    What needs one process, and is about us alone.
    """
    return [
        Case(
            "frame-cost",
            "memory",
            "a 64-byte frame in memory, in bare loops that unpack and slice",
            Job("frames"),
            (
                Figure("best", "loops (in and out, best)", more=False),
                Figure("both", "loops (in and out)", more=False),
                Figure("in", "loops (in)", more=False),
                Figure("microseconds", "µs (in and out)", more=False),
            ),
        ),
        Case(
            "idle-memory",
            "memory",
            "transport and engine of an idle stream",
            Job("idle", IDLE_STREAMS),
            (RATE["memory"],),
            exact=True,
        ),
        Case(
            "calls",
            "scaling",
            "what is done for 10 echoes beside idle streams",
            Job("calls"),
            (
                Figure("calls", "calls of functions", more=False),
                Figure("instructions", "instructions", more=False),
            ),
            idle=IDLE,
            exact=True,
        ),
        Case(
            "link",
            "link",
            "one stream on a virtual link of 1 Gbit/s, after 2 s",
            Job("link"),
            (
                *(
                    Figure(f"share-{each}", f"% of it, round trip {each} ms", 0.01)
                    for each in ROUND_TRIPS
                ),
                Figure("slow", "KiB, window of a slow stream", 1024, more=False),
                Figure("steady", "KiB, of a steady one", 1024, more=False),
            ),
            exact=True,
        ),
    ]


def largeReads() -> Case:
    """
    Bulk with what there is for it: more is read from the carrier at once, and goes
    on, and is sent, in one turn, in longer frames where the wire has such, and more
    may wait for that.  Bare Twisted is as ever: it reads 64 KiB.
    """
    size = LARGE_READ
    config = {
        "readSize": size,
        "turnBytes": size,
        "sendBuffer": 256 * KIB,
        "maxFrame": 256 * KIB,
    }
    return Case(
        "bulk-1-large-reads",
        "bulk",
        f"bulk, 1 stream, reads of up to {size // MIB} MiB",
        Job("bulk", 1, config=config),
        (RATE["bulk"],),
        only=(YARDSTICK, OURS),
        oneCore=True,
    )


def _all() -> list[Case]:
    pulled = Case(
        "bulk-1-pull",
        "bulk",
        "bulk, 1 stream, from a pull producer",
        Job("bulk", 1, pull=True),
        (RATE["bulk"],),
        only=(YARDSTICK, OURS),
        oneCore=True,
    )
    churn = Case(
        "open-100",
        "open",
        "open, echo, close, 100 at once",
        Job("churn", 100),
        (RATE["churn"],),
    )
    scaling = Case(
        "idle",
        "scaling",
        "echo of 64 bytes on 10 streams beside idle ones",
        Job("echo", 10),
        (Figure("cost", "µs a message", more=False),),
        idle=IDLE,
        only=(YARDSTICK, OURS),
        oneCore=True,
    )
    resident = Case(
        "memory-10000",
        "memory",
        f"resident memory of the server, {IDLE_STREAMS:,} idle streams",
        Job("memory", IDLE_STREAMS),
        (RATE["memory"],),
        oneCore=True,
    )
    return [
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
        scaling,
        resident,
        *_machineless(),
    ]


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
