"""
Whole sessions with all limits on, and low: whatever arrives, however it is cut,
whatever the application does meanwhile.

  - Nothing is raised, and a session that ends does so with an error of ours that
    says what the peer did.
  - What is held is what is accounted for, and within the budgets: what waits for
    readers, answers that wait for the peer, streams, keys that are remembered.
  - Whatever has to be done later has a turn to be done in.
  - Every owner hears of its stream's end once, and of nothing after it
    (L{User<tests.property.pipe.User>} checks that).
  - When the carrier is lost all tables are empty, and nothing is due any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache

from tests.fuzz.frames import SessionMutator
from tests.fuzz.inputs import SessionInput
from tests.fuzz.target import Target, bounded
from tests.fuzz.vectors import messages
from tests.property.pipe import Boom, Driver, User
from tests.unit.wire.sinks import MOST_KEPT
from twisted_mux.config import MuxConfig
from twisted_mux.engine.stream import CHUNK_CHARGE, Stream
from twisted_mux.errors import PeerComplaint, ProtocolError, UsageError
from twisted_mux.wire import wireNames
from twisted_mux.wire.base import Credit, Role

# What a chunk of the application's is at most.
_MOST_WRITTEN = 9000
# The longest control frame, but for names, in bytes: vt-muxer's and smux's.
_CONTROL = 20
_NAME = b"name"
_PAYLOAD = bytes(range(256)) * (_MOST_WRITTEN // 256 + 1)
# A deque's own memory, in bytes, and what an item costs in it.
_DEQUE = 1300
_ITEM = 8


@cache
def configOf(flags: int) -> MuxConfig:
    """
    All limits, so low that an input reaches them.
    """
    wide = bool(flags & 0x40)
    return MuxConfig(
        keepAlive=5,
        keepAliveTimeout=8,
        window=262144 if wide else 1000,
        maxWindow=1 << 20 if wide else 4000,
        receiveBudget=2 << 20 if wide else 3000,
        slowReader="reset" if flags & 2 else "pause",
        slowReaderGrace=2,
        maxFrame=100 if flags & 4 else None,
        maxStreams=6,
        maxOutboundStreams=6,
        maxUnacknowledged=3 if flags & 8 else None,
        opening="ack" if flags & 8 else "now",
        openTimeout=4,
        resetBurst=8,
        resetRate=1,
        idleBurst=16,
        idleRate=1,
        controlBacklog=1024,
        strayBytes=512,
        rememberedStreams=4,
        turnBytes=1 if flags & 0x10 else 500,
        frameTimeout=3,
        writeTimeout=6,
        halfClosedTimeout=7,
        lingerTimeout=9,
        goAway="last" if flags & 0x20 else "first",
    )


class Owner(User):
    """
    The owner of a stream, who may be told to do something at its next event.

    @ivar armed: what to do then, if anything.
    @ivar takesBack: how many bytes of the next chunk to give back.
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.armed: Callable[[], None] | None = None
        self.takesBack = 0

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        size = min(self.takesBack, len(data))
        if size and not (self.finished or self.over):
            self.takesBack = 0
            self.stream.unread(data[len(data) - size :])

    def receiverFailed(self) -> None:
        super().receiverFailed()
        if not (self.finished or self.over):
            self.reset()

    def _event(self, *event: object) -> None:
        super()._event(*event)
        armed, self.armed = self.armed, None
        if armed is not None:
            armed()


class Visit:
    """
    One session, from its beginning to the loss of its carrier.
    """

    def __init__(self, wire: str, given: SessionInput) -> None:
        self._steps = given.steps
        self._wire = given.wire
        self._config = configOf(given.flags)
        role = Role.SERVER if given.flags & 1 else Role.CLIENT
        self._driver = Driver(wire, role, self._config)
        self._driver.accept = self._accept
        self._owners: list[Owner] = []
        self._refuse = 0
        self._pause = False
        # What has arrived and not been read, and the longest chunk that was.
        self._inbox = b""
        self._longest = 0
        self._acted = 0
        capabilities = self._driver.session.capabilities
        self._credit = capabilities.credit is not Credit.NONE
        tolerance = 0
        if self._credit and capabilities.windowAnnounced:
            tolerance = max(0, capabilities.initialWindow - self._config.window)
        self._tolerance = tolerance

    def _accept(self, stream: Stream) -> None:
        if self._refuse:
            self._refuse -= 1
            return
        owner = Owner(self._driver)
        self._owners.append(owner)
        self._driver.opened.append(owner)
        owner.attach(stream)
        if self._pause:
            stream.pauseReading()

    # What happens.

    def go(self) -> None:
        """
        All of it.
        """
        position = 0
        for after, action, argument in self._steps:
            self._arrive(self._wire[position : position + after])
            position += after
            self._act(action, argument)
            self._read()
            self._check()
        self._arrive(self._wire[position:])
        self._check()
        self._end()

    def _arrive(self, data: bytes) -> None:
        self._inbox += data
        self._read()

    def _read(self) -> None:
        driver = self._driver
        driver.run()
        if self._inbox and driver.session.reading and not driver.closed:
            chunk, self._inbox = self._inbox, b""
            self._longest = max(self._longest, len(chunk))
            driver.feed(chunk)

    def _owner(self, argument: int) -> Owner | None:
        owner = self._owners[argument % len(self._owners)] if self._owners else None
        return None if owner is None or owner.finished or owner.over else owner

    def _act(self, action: int, argument: int) -> None:
        self._acted += 1
        kind = action % 16
        if kind >= 10:
            owner = self._owner(argument)
            if owner is not None:
                self._actOn(owner, kind, action >> 4, argument >> 4)
            return
        driver = self._driver
        session = driver.session
        if kind == 0:
            self._open()
        elif kind <= 2:
            driver.advance((1 + argument) * (0.01 if kind == 1 else 0.2))
        elif kind == 3:
            driver.block()
        elif kind == 4:
            driver.unblock()
        elif kind == 5:
            if session.capabilities.ping and not session.over:
                session.ping(driver.now)
        elif kind == 6:
            session.drain(driver.now, argument % 4)
        elif kind == 7:
            self._refuse = argument % 4
        elif kind == 8:
            self._pause = bool(argument & 1)
        else:
            # A turn that nobody asked for does no harm.
            driver.turn()

    def _open(self) -> None:
        driver = self._driver
        owner = Owner(driver)
        named = driver.session.capabilities.names
        try:
            stream = driver.session.openStream(owner, _NAME if named else b"")
        except UsageError:
            # The documented errors of openStream.
            return
        owner.attach(stream)
        self._owners.append(owner)
        driver.session.start(stream)

    def _actOn(self, owner: Owner, kind: int, more: int, argument: int) -> None:
        stream = owner.stream
        if owner.finished or owner.over:
            return
        if kind == 10:
            stream.write(_PAYLOAD[: (1, 100, 2500, _MOST_WRITTEN)[more & 3]])
            stream.wantsEmpty = bool(more & 4)
        elif kind == 11:
            stream.resumeReading() if more & 1 else stream.pauseReading()
        elif kind == 12:
            stream.endWriting()
        elif kind == 13:
            owner.reset() if more & 1 else owner.leave()
        elif kind == 14:
            if more & 1:
                owner.hooks["data"] = _fail
            else:
                owner.takesBack = 1 + argument
        else:
            # At its next event something is done to another, or to itself.
            victim = self._owner(argument)
            if victim is not None:
                what = 10 + (more & 3)
                owner.armed = lambda: self._actOn(victim, what, more >> 2, argument)

    # What holds at all times.

    def _check(self) -> None:
        session = self._driver.session
        self._checkHeld()
        self._checkTables()
        assert session.codec.midFrame <= MOST_KEPT
        assert len(session._unread) <= self._longest
        # One answer to each frame of a chunk, and what the application wanted.
        most = self._config.controlBacklog + _CONTROL * (
            self._longest + 8 * self._acted + 8
        )
        assert session.outbox.controlSize <= most
        waits = bool(session._reader.deliverable or session.table.later)
        waits |= bool(session._unread and session._withinBudgets)
        waits |= session.hasOutput() and not (
            self._driver.blocked or self._driver.closed
        )
        assert not waits or self._driver.woken or session.over
        error = self._driver.error
        assert error is None or isinstance(error, (ProtocolError, PeerComplaint)), error

    def _checkHeld(self) -> None:
        session = self._driver.session
        held = 0
        for owner in self._owners:
            stream = owner.stream
            held += stream.backlogSize
            if self._credit:
                assert stream.held <= stream.receiveWindow + self._tolerance
            if stream._backlog:
                # It costs no more than it is charged.
                cost = sum(sys.getsizeof(chunk) + _ITEM for chunk in stream._backlog)
                assert cost <= stream.backlogSize + _DEQUE
        assert session.held == held
        # The chunk that got there is read to its end; what a reader gives back
        # was there before.
        most = (self._config.receiveBudget or 0) + self._longest
        most += (CHUNK_CHARGE + 256) * (len(self._owners) + self._acted)
        assert held <= most, f"{held} bytes are held, more than {most}"

    def _checkTables(self) -> None:
        session = self._driver.session
        config = self._config
        streams = session.streams
        inbound = sum(stream.inbound for stream in streams.values())
        assert session.inbound == inbound <= config.maxStreams
        assert session.table.opener.live == len(streams) - inbound
        assert len(streams) - inbound <= config.maxOutboundStreams
        assert not any(stream.gone for stream in streams.values())
        assert len(session._reader.recent) <= 2 * config.rememberedStreams + 2
        assert len(session.table.owed) <= config.rememberedStreams
        assert len(session.liveness._pings) <= len(self._steps) + self._driver.now + 1
        deadlines = session._deadlines
        for timed in (
            deadlines._opening,
            deadlines._lingering,
            deadlines._awaiting,
            deadlines._halfClosed,
            deadlines._slow,
        ):
            assert not any(stream.gone for stream in timed)
        # Of streams that are gone some are in a queue until their turn comes.
        streamsMade = len(self._owners) + session.counters.streamsRefused
        assert len(session.scheduler.sparse) <= streamsMade
        assert len(session.scheduler.busy) <= streamsMade

    # The end.

    def _end(self) -> None:
        driver = self._driver
        session = driver.session
        driver.unblock()
        self._read()
        self._check()
        driver.lose()
        for owner in self._owners:
            owner.armed = None
            owner.hooks.clear()
            owner.takesBack = 0
        # What had arrived is for those who still want it; then they are told.
        for _ in range(3):
            for owner in self._owners:
                owner.stream.resumeReading()
            driver.run()
        driver.assertIdle()
        assert not session.table._ended
        assert session.held == 0
        assert not session._unread
        for owner in self._owners:
            assert owner.over != owner.finished, owner.events
            assert owner.stream.gone
            assert not owner.stream.buffered
        driver.advance(1000)
        assert driver.tickTime is None


def _fail(_: bytes) -> None:
    raise Boom


def fuzz(wire: str) -> Callable[[bytes], None]:
    """
    What one input does to a session.
    """

    def run(data: bytes) -> None:
        given = SessionInput.parse(data)
        with bounded(len(given.wire) + 1000 * len(given.steps)):
            Visit(wire, given).go()

    return run


def seeds(wire: str) -> Iterator[bytes]:
    """
    Each direction of the recordings of real peers, with applications that do
    nothing, or open streams, or write and pause.
    """
    scripts = (
        (),
        ((0, 0, 0), (20, 0x1A, 0), (20, 0x2A, 0x10), (20, 12, 0), (9, 1, 9)),
        ((30, 11, 0), (30, 10, 0), (90, 0x1B, 0), (20, 2, 9), (20, 13, 0)),
    )
    for number, (role, wireBytes) in enumerate(messages(wire)):
        flags = (role is Role.CLIENT) | (number * 2 & 0xFE)
        yield SessionInput(flags, scripts[number % len(scripts)], wireBytes).pack()


def targets() -> Iterator[Target]:
    """
    One for each wire.
    """
    for wire in wireNames():
        yield Target(
            f"session-{wire}",
            fuzz(wire),
            lambda wire=wire: seeds(wire),  # type: ignore[misc]
            SessionMutator(wire),
        )
