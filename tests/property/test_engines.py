"""
Two engines of the same wire, joined by a pipe that cuts, delays and coalesces
bytes, with everything that can happen to them in any order: opens from both sides,
writes, pauses, resumes, half-closes, resets, pings, drains, changes of windows, time,
and the loss of the carrier.

The model is small: what was written to a stream, and what was done to it.  From
that follows what the other side may see: a prefix of it, in order; all of it
before an end; an end, or a reset, once; and nothing behind.  Of what is not a
stream's alone the accounts are checked: credit, that of the receiver being that of the
sender when nothing is under way; what is held; what windows have grown by; tables.

Hypothesis leaves whole rules out of many runs, which finds what needs many of one kind;
and one rule is for a burst of everything, which finds what needs all of them.

C{HYPOTHESIS_PROFILE=thorough} makes the runs longer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.property.ends import End, noise
from tests.property.pipe import Driver, Pipe, mirrored
from twisted_mux.config import MuxConfig
from twisted_mux.engine.scheduler import BUSY, IDLE, SPARSE
from twisted_mux.engine.states import State
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import SessionClosed
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Credit, Key

#: Runs of each wire's machine, and steps in each.
EXAMPLES = max(20, settings().max_examples // 4)
STEPS = 25


def pause(end: End) -> None:
    end.stream.pauseReading()


def resume(end: End) -> None:
    end.stream.resumeReading()


def wantEmpty(end: End) -> None:
    end.stream.wantsEmpty = True


#: What may be done to an end at any time.
ACTIONS: dict[str, Callable[[End], None]] = {
    "write": lambda end: end.write(17),
    "write more": lambda end: end.write(3000),
    "write much": lambda end: end.write(150_000),
    "pause": pause,
    "resume": resume,
    "want empty": wantEmpty,
    "end": End.endWriting,
    "leave": End.leave,
    "reset": End.reset,
}
# What goes on most of the time.
_USUAL = ["write", "write more", "write much", "pause", "resume", "want empty"]

#: More steps than a run has.
NEVER = 1_000_000

#: What the carrier may do to one side.
CARRIER = ["deliver", "deliver", "turn", "pump", "block", "unblock", "advance"]

indexes = st.integers(0, 15)
actions = st.sampled_from([*_USUAL, *_USUAL, *_USUAL, *ACTIONS])
sides = st.sampled_from([0, 1])
cuts = st.sampled_from([1, 3, 11, 12, 13, 40, 1000, 20_000, 300_000])
sizes = st.sampled_from([0, 1, 10, 5000])
#: After how many steps a side may want to end, or the carrier be lost.
ends = st.sampled_from([NEVER, NEVER, NEVER, 10, 40, 150])
events = st.sampled_from(["data", "data", "ended", "written", "emptied", "accepted"])
#: One thing that happens: the name of the machine's method, and its arguments.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("act"), indexes, actions),
        st.tuples(st.just("act"), indexes, actions),
        st.tuples(st.just("act"), indexes, actions),
        st.tuples(st.just("carry"), sides, st.sampled_from(CARRIER), cuts),
        st.tuples(st.just("carry"), sides, st.sampled_from(CARRIER), cuts),
        st.tuples(st.just("arm"), indexes, events, actions, indexes),
        st.tuples(st.just("giveBack"), indexes, sizes),
        st.tuples(st.just("widen"), indexes, sizes.filter(bool)),
        st.tuples(st.one_of(st.just("open"), st.just("ping")), sides),
        st.tuples(st.just("drain"), sides, st.integers(0, 100)),
        st.tuples(st.just("lose"), st.integers(0, 100)),
    ),
    min_size=6,
    max_size=20,
)


class Engines(RuleBasedStateMachine):
    """
    The machine; a subclass says on which wire.
    """

    wire: str

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[End] = []
        self.opened: dict[tuple[Driver, Key], End] = {}
        self.lost = False
        self.pinged: list[tuple[Driver, int]] = []
        self.steps = 0
        self.lossAfter = self.drainAfter = NEVER
        self.toOpen: list[int] = []
        self.toPump = False

    @initialize(
        window=st.sampled_from([3000, 262144, 262144, 1_000_000]),
        maxFrame=st.sampled_from([None, 100, 60_000]),
        maxStreams=st.sampled_from([1000, 1000, 3]),
        budget=st.sampled_from([None, 20_000]),
        quiet=st.booleans(),
        goAway=st.sampled_from(["first", "last"]),
        turnBytes=st.sampled_from([1, 10_000, 262144]),
    )
    def start(
        self,
        window: int,
        maxFrame: int | None,
        maxStreams: int,
        budget: int | None,
        quiet: bool,
        goAway: str,
        turnBytes: int,
    ) -> None:
        self.config = MuxConfig(
            window=window,
            maxFrame=maxFrame,
            maxStreams=maxStreams,
            receiveBudget=budget,
            keepAlive=0 if quiet else None,
            keepAliveTimeout=0 if quiet else None,
            goAway=goAway,
            turnBytes=turnBytes,
        )
        self.pipe = Pipe(self.wire, self.config)
        for side in self.pipe.sides:
            side.accept = self.acceptor(side)
        capabilities = codecNamed(self.wire).capabilities
        self.credit = capabilities.credit is not Credit.NONE
        # What a peer may send before it hears of a narrower window.
        self.tolerance = 0
        if self.credit and capabilities.windowAnnounced:
            self.tolerance = max(0, capabilities.initialWindow - window)
        self.openFirst()

    def acceptor(self, side: Driver) -> Callable[[Stream], None]:
        def accept(stream: Stream) -> None:
            opener = self.opened[self.pipe.other(side), mirrored(self.wire, stream.key)]
            assert opener.other is None
            end = End(side, 7919 * len(self.ends))
            end.other, opener.other = opener, end
            end.attach(stream)
            self.ends.append(end)

        return accept

    def pick(self, index: int) -> End:
        return self.ends[index % len(self.ends)]

    @initialize(opens=st.lists(sides, min_size=2, max_size=6), pumped=st.booleans())
    def begin(self, opens: list[int], pumped: bool) -> None:
        # The initializers come in any order.
        self.toOpen = opens
        self.toPump = pumped
        self.openFirst()

    def openFirst(self) -> None:
        """
        Open the streams that there are from the beginning.
        """
        if not hasattr(self, "pipe"):
            return
        opens, self.toOpen = self.toOpen, []
        for index in opens:
            self.open(index)
        if opens and self.toPump:
            self.pipe.pump()

    @initialize(loss=ends, drain=ends)
    def plan(self, loss: int, drain: int) -> None:
        """
        When the rules of the end come to be possible.
        """
        self.lossAfter = loss
        self.drainAfter = drain

    # One rule for each thing that may happen.

    @rule(side=sides)
    def opens(self, side: int) -> None:
        self.open(side)

    @rule(index=indexes, size=st.sampled_from(["write", "write more", "write much"]))
    def writes(self, index: int, size: str) -> None:
        self.act(index, size)

    @rule(index=indexes)
    def pauses(self, index: int) -> None:
        self.act(index, "pause")

    @rule(index=indexes)
    def resumes(self, index: int) -> None:
        self.act(index, "resume")

    @rule(index=indexes)
    def halfCloses(self, index: int) -> None:
        self.act(index, "end")

    @rule(index=indexes, how=st.sampled_from(["reset", "leave"]))
    def drops(self, index: int, how: str) -> None:
        self.act(index, how)

    @rule(side=sides)
    def pings(self, side: int) -> None:
        self.ping(side)

    @rule(index=indexes, size=st.sampled_from([1, 100, 5000, 300_000]))
    def windowWidens(self, index: int, size: int) -> None:
        self.widen(index, size)

    @rule(index=indexes)
    def windowGrows(self, index: int) -> None:
        self.grow(index)

    @rule(side=sides, what=st.sampled_from(CARRIER), size=cuts)
    def carries(self, side: int, what: str, size: int) -> None:
        self.carry(side, what, size)

    @precondition(lambda self: self.steps > self.drainAfter)
    @rule(side=sides)
    def drains(self, side: int) -> None:
        driver = self.pipe.sides[side]
        driver.session.drain(driver.now, 0)
        self.drainAfter = NEVER

    @precondition(lambda self: self.steps > self.lossAfter)
    @rule()
    def losesTheCarrier(self) -> None:
        self.lost = True
        self.lossAfter = NEVER
        self.pipe.lose()

    @rule(steps=steps)
    def go(self, steps: list[tuple[Any, ...]]) -> None:
        """
        This and that happens.
        """
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
            self.always()

    # What the users do.

    def open(self, index: int) -> None:
        """
        Open a stream.
        """
        side = self.pipe.sides[index]
        if not side.session.opener.mayOpen:
            return
        try:
            end = End(side, 7919 * len(self.ends))
            stream = side.session.openStream(end)
        except SessionClosed:
            assert not side.session.takesStreams
            return
        end.attach(stream)
        side.session.start(stream)
        self.opened[side, stream.key] = end
        self.ends.append(end)

    def act(self, index: int, action: str) -> None:
        """
        A user does something.
        """
        if self.ends:
            end = self.pick(index)
            if not end.finished:
                ACTIONS[action](end)

    def arm(self, index: int, event: str, action: str, victim: int) -> None:
        """
        At some event something is to be done, perhaps to another stream of that
        side.
        """
        if not self.ends:
            return
        end = self.pick(index)
        other = self.pick(victim)
        if other.driver is not end.driver:
            other = end

        def do(_: End) -> None:
            if not other.finished:
                ACTIONS[action](other)

        end.armed[event] = do

    def giveBack(self, index: int, size: int) -> None:
        """
        A reader is to take only a part of what it gets next.
        """
        if self.ends:
            self.pick(index).giveBack = size

    def widen(self, index: int, size: int) -> None:
        """
        A window is made wider than the engine would, for once.
        """
        if self.ends and self.credit:
            self.pick(index).widen(size)

    def grow(self, index: int) -> None:
        """
        A window is used up within a round trip again and again, which makes it grow.
        """
        if not self.ends or not self.credit:
            return
        end = self.pick(index)
        other = end.other
        if other is None or other.finished or other.over:
            return
        other.stream.resumeReading()
        for _ in range(6):
            end.write(min(200_000, other.stream.receiveWindow))
            for side in self.pipe.sides:
                side.advance(0.05)
            self.pipe.pump()
        self.conserved()

    def ping(self, index: int) -> None:
        """
        Ask for a sign of life.
        """
        side = self.pipe.sides[index]
        if side.session.capabilities.ping and not side.session.over:
            self.pinged.append((side, side.session.ping(side.now)))

    # What the carrier does.

    def carry(self, index: int, what: str, size: int) -> None:
        """
        Some of the bytes under way arrive, or time passes.
        """
        side = self.pipe.sides[index]
        if what == "deliver":
            self.pipe.deliver(side, size)
        elif what == "advance":
            for each in self.pipe.sides:
                each.advance(size % 7 * 0.01)
        elif what == "pump":
            self.pipe.pump()
            self.conserved()
        else:
            getattr(side, what)()

    def drain(self, index: int, chance: int) -> None:
        """
        Rarely, a side wants to end.
        """
        if chance == 77:
            side = self.pipe.sides[index]
            side.session.drain(side.now, 0)

    def lose(self, chance: int) -> None:
        """
        Rarely, the carrier is cut.
        """
        if chance == 77 and not self.lost:
            self.lost = True
            self.pipe.lose()

    # What holds at all times.

    @invariant()
    def always(self) -> None:
        if hasattr(self, "pipe"):
            self.steps += 1
            self.nothingIsForgotten()
            self.whatIsHeld()
            self.nothingBeyondCredit()
            self.queues()
            self.tables()

    def nothingIsForgotten(self) -> None:
        """
        What is to be done later has a turn to be done in.
        """
        for side in self.pipe.sides:
            session = side.session
            reader = session._reader
            waits = bool(reader.deliverable or session.table.later)
            if session._unread and session._withinBudgets:
                waits = True
            if session.hasOutput() and not (side.blocked or side.closed):
                waits = True
            if session.drained:
                waits = True
            assert side.woken or not waits

    def whatIsHeld(self) -> None:
        for side in self.pipe.sides:
            held = 0
            for end in self.ends:
                if end.driver is side:
                    stream = end.stream
                    held += stream.backlogSize
                    if self.credit:
                        most = stream.receiveWindow + self.tolerance + end.extra
                        assert stream.held <= most
            session = side.session
            assert session.held == held
            # What windows have grown by is within the budget, and known exactly.
            grown = sum(
                stream.tuner.window - session._reader.window
                for stream in session.streams.values()
                if stream.tuner is not None
            )
            if not session.over:
                assert session._reader._grown == grown
                assert 0 <= grown <= (session.config.receiveBudget or 0)
            opener = session.table.opener
            if session.capabilities.ack and not session.over:
                assert opener._unacknowledged == sum(
                    not stream.acknowledged for stream in session.streams.values()
                )
            assert session.over or opener.live == sum(
                not stream.inbound for stream in session.streams.values()
            )

    def conserved(self) -> None:
        """
        When nothing is under way, what may still be sent is what may still come:
        no credit gets lost, and none comes from nowhere.
        """
        for side in self.pipe.sides:
            session = side.session
            if side.blocked or side.closed or session.over or not session.reading:
                return
            if side.outbox or session.hasOutput():
                return
        for side in self.pipe.sides:
            # Every ping has been answered, once.
            assert not side.session.liveness.pinging
            pongs = [event[1] for event in side.events if event[0] == "pong"]
            assert len(set(pongs)) == len(pongs)
            assert {value for who, value in self.pinged if who is side} <= set(pongs)
        for end in self.ends:
            other = end.other
            if other is None or end.stream.gone or other.stream.gone:
                continue
            assert end.stream.bytesSent == other.stream.bytesReceived
            ended = other.stream.state in (State.REMOTE_ENDED, State.CLOSED)
            if self.credit and not ended:
                assert end.stream.sendCredit == other.stream.receiveCredit

    def nothingBeyondCredit(self) -> None:
        """
        No stream has sent more than it was allowed.
        """
        for end in self.ends:
            if not self.tolerance:
                assert end.stream.sendCredit >= 0
            other = end.other
            if other is not None and self.credit:
                underWay = end.stream.bytesSent - other.stream.bytesReceived
                assert underWay >= 0

    def queues(self) -> None:
        """
        Streams that can send are in a queue, and others are not for long.
        """
        for side in self.pipe.sides:
            session = side.session
            if session.over:
                continue
            sparse = ring = 0
            for end in self.ends:
                stream = end.stream
                if end.driver is not side:
                    continue
                sparse += stream.turn == SPARSE
                ring += stream.turn == BUSY or stream.ahead > 0
                if stream.turn == IDLE and not stream.gone:
                    assert not stream.buffered or stream.sendCredit <= 0
                    assert stream.buffered or not stream.ending
            assert len(session.scheduler.sparse) == sparse
            assert len(session.scheduler.busy) == ring

    def tables(self) -> None:
        for side in self.pipe.sides:
            session = side.session
            assert side.error is None
            streams = list(session.streams.values())
            assert session.inbound == sum(stream.inbound for stream in streams)
            assert not any(stream.gone for stream in streams)
            assert session.over or session.inbound <= self.config.maxStreams
            for end in self.ends:
                if end.driver is side and not end.stream.gone:
                    assert session.streams[end.stream.key] is end.stream

    # The end.

    def teardown(self) -> None:
        if not hasattr(self, "pipe"):
            return
        pipe = self.pipe
        for side in pipe.sides:
            side.unblock()
        for end in self.ends:
            end.armed.clear()
        self.finishReading()
        self.conserved()
        for end in self.ends:
            if not end.finished:
                end.endWriting()
        self.finishReading()
        self.checkAllArrived()
        for end in self.ends:
            if not end.finished:
                end.leave()
        self.finishReading()
        lingering = [end for end in self.ends if not end.stream.gone]
        if lingering:
            # Written to after it was refused by an end, on a wire with credit:
            # nobody gives it any, so what it has can't be sent.
            assert self.credit
            assert all(end.other is None for end in lingering)
            pipe.advance(2 * self.config.lingerTimeout + 1, 5)
        pipe.assertIdle()
        for side in pipe.sides:
            if self.lost:
                assert side.session.over
            assert not side.session.table._ended
            assert side.session.over or not side.session.draining
            assert side.session.over or not side.session.table.owed
            assert side.session.over or not side.session._reader._grown
            assert side.session.over or not side.session.table.opener._unacknowledged

    def finishReading(self) -> None:
        """
        Until everything that is under way has been read.
        """
        for _ in range(len(self.ends) + 2):
            for end in self.ends:
                end.stream.resumeReading()
            self.pipe.pump()
            for side in self.pipe.sides:
                other = self.pipe.other(side)
                if side.closed and not side.outbox and not other.closed:
                    # The carrier was closed when all was said.
                    other.lose()

    def checkAllArrived(self) -> None:
        """
        Every byte has arrived, unless somebody has gone away.
        """
        if self.lost:
            return
        for end in self.ends:
            other = end.other
            if other is None:
                assert end.over or end.finished or "ended" in end.names()
            elif not (end.finished or other.finished):
                names = end.names()
                assert end.received == other.written
                assert names.count("ended") == 1
                assert names.count("written") == 1
                assert end.stream.state is State.CLOSED
            if end.driver.session.over:
                assert end.over or end.finished


def machineOf(wire: str) -> type[Engines]:
    """
    The machine of one wire.
    """
    return type(f"Engines_{wire}", (Engines,), {"wire": wire})


@pytest.mark.parametrize("wire", wireNames())
def test_twoEngines(wire: str) -> None:
    run_state_machine_as_test(
        machineOf(wire),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )


def atRandom(wire: str, seed: int, steps: int = 600) -> None:
    """
    The same, at random instead of by hypothesis, which is many times as fast.
    For longer runs elsewhere, too: C{seed} says it all.
    """
    chance = random.Random(seed)
    machine = machineOf(wire)()
    machine.start(
        window=chance.choice([3000, 262144, 262144, 1_000_000]),
        maxFrame=chance.choice([None, 100, 60_000]),
        maxStreams=chance.choice([1000, 1000, 3]),
        budget=chance.choice([None, None, 20_000]),
        quiet=chance.random() < 0.5,
        goAway=chance.choice(["first", "last"]),
        turnBytes=chance.choice([1, 10_000, 262144]),
    )
    machine.begin([chance.randrange(2) for _ in range(6)], chance.random() < 0.5)
    choices = list(ACTIONS)
    eventNames = ["data", "data", "ended", "written", "emptied", "accepted"]
    cutSizes = [1, 3, 11, 12, 13, 40, 1000, 20_000, 300_000]
    for _ in range(steps):
        index = chance.randrange(16)
        action = chance.choice(choices if chance.random() < 0.2 else _USUAL)
        side = chance.randrange(2)
        step: tuple[Any, ...]
        which = chance.random()
        if which < 0.45:
            step = ("act", index, action)
        elif which < 0.85:
            what = chance.choice(CARRIER)
            step = ("carry", side, what, chance.choice(cutSizes))
        elif which < 0.92:
            event = chance.choice(eventNames)
            step = ("arm", index, event, action, chance.randrange(16))
        elif which < 0.94:
            step = ("giveBack", index, chance.choice([0, 1, 10, 5000]))
        elif which < 0.95:
            step = ("widen", index, chance.choice([1, 100, 5000, 300_000]))
        elif which < 0.955:
            step = ("grow", index)
        elif which < 0.98:
            step = ("open", side)
        else:
            step = chance.choice(
                [
                    ("ping", side),
                    ("drain", side, chance.randrange(70, 110)),
                    ("lose", chance.randrange(70, 110)),
                ]
            )
        machine.go([step])
    machine.teardown()


@pytest.mark.parametrize("seed", range(EXAMPLES))
@pytest.mark.parametrize("wire", wireNames())
def test_atRandom(wire: str, seed: int) -> None:
    atRandom(wire, seed)


@pytest.mark.parametrize(
    "wire",
    [
        name
        for name in wireNames()
        if codecNamed(name).capabilities.credit is not Credit.NONE
    ],
)
def test_aPausedStreamStallsItself(wire: str) -> None:
    """
    Where there is credit a reader that pauses stalls its own stream, holds no
    more than its window, and goes on when it resumes.
    """
    pipe = Pipe(wire)
    pairs = list(islice(pipe.opener(), 20))
    paused = pairs[::4]
    for _, server in paused:
        server.stream.pauseReading()
    total = 600_000
    for client, _ in pairs:
        client.stream.write(noise(0, total))
    pipe.pump(10_000)
    for pair in pairs:
        _, server = pair
        if pair in paused:
            assert server.received == b""
            assert server.stream.held == 262144
        else:
            assert server.received == noise(0, total)
    assert pipe.server.session.reading
    for _, server in paused:
        server.stream.resumeReading()
    pipe.pump(10_000)
    assert all(server.received == noise(0, total) for _, server in pairs)
    assert pipe.server.session.held == 0
