"""
What drives sessions of the engine in tests: one alone (L{Driver}), with a peer
that is just a codec (L{Remote}), or two that are joined by a pipe that cuts,
delays and coalesces bytes (L{Pipe}).

No reactor, no clock: a test says what arrives, when, and how much of it.  A
driver does what L{twisted_mux.driver.Driver} does and no more, and checks
what every driver may rely on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tests.unit.wire.sinks import Call, RecordingSink, merged
from twisted_mux.config import MuxConfig
from twisted_mux.engine.session import Session
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import LimitExceeded, MuxError
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Key, Role

#: What a driver takes from its session at once, in bytes.
BATCH = 64 * 1024
#: After so many turns without an end something must be going round in circles.
MOST_TURNS = 100_000

#: A configuration without keep-alive.
QUIET = MuxConfig(keepAlive=0, keepAliveTimeout=0)

E = TypeVar("E", bound=MuxError)

#: What happened to a stream: the name of the event, and what came with it.
Event = tuple[Any, ...]


class Boom(Exception):
    """
    What a receiver raises when a test wants that.
    """


class User:
    """
    The owner of one stream: its handler and its receiver.

    @ivar received: all payload that was delivered.
    @ivar chunks: the same, as it came.
    @ivar events: everything else that it was told, in order; with C{"data"}
        where payload came between.
    @ivar hooks: what else to do at an event, by its name; at C{"data"} they get
        the chunk, otherwise what came with the event.
    @ivar over: is nothing to follow any more?
    """

    stream: Stream

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.received = bytearray()
        self.chunks: list[bytes] = []
        self.events: list[Event] = []
        self.hooks: dict[str, Callable[..., object]] = {}
        self.over = False
        self.finished = False

    def attach(self, stream: Stream) -> User:
        """
        Become the owner of C{stream}.
        """
        self.stream = stream
        stream.handler = self
        stream.receiver = self
        return self

    def _event(self, *event: Any) -> None:
        assert not self.over, f"{event} after {self.events}"
        assert not self.finished, f"{event} after the owner had left"
        if event[0] == "data":
            if self.events[-1:] != [("data",)]:
                self.events.append(("data",))
        else:
            self.events.append(event)
        hook = self.hooks.get(event[0])
        if hook is not None:
            hook(*event[1:])

    def names(self) -> list[str]:
        """
        The names of the events, in order.
        """
        return [event[0] for event in self.events]

    # What the owner does.

    def leave(self) -> None:
        """
        Leave the stream; it is an error to be told anything afterwards.
        """
        self.stream.leave()
        self.finished = True

    def reset(self) -> None:
        """
        Reset the stream; it is an error to be told anything afterwards.
        """
        self.stream.reset()
        self.finished = True

    # What the engine calls.

    def dataReceived(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        assert "ended" not in self.names(), "data after the end"
        assert self.stream.reading, "data for a paused reader"
        self.received += data
        self.chunks.append(data)
        self._event("data", data)

    def streamAccepted(self) -> None:
        assert "accepted" not in self.names()
        self._event("accepted")

    def streamEnded(self) -> None:
        assert "ended" not in self.names()
        assert self.stream.reading, "an end for a paused reader"
        self._event("ended")

    def streamReset(self, code: int) -> None:
        self._last("reset", code)

    def streamLost(self, error: MuxError | None) -> None:
        self._last("lost", error)

    def _last(self, *event: Any) -> None:
        assert not self.over, f"{event} after {self.events}"
        assert not self.finished, f"{event} after the owner had left"
        assert self.stream.gone or not self.driver.session.capabilities.reset
        self.over = True
        self.events.append(event)
        hook = self.hooks.get(event[0])
        if hook is not None:
            hook(*event[1:])

    def writeBufferEmptied(self) -> None:
        assert not self.stream.buffered
        self._event("emptied")

    def writingEnded(self) -> None:
        assert "written" not in self.names()
        assert not self.stream.buffered
        self._event("written")

    def receiverFailed(self) -> None:
        import sys

        error = sys.exc_info()[1]
        if not isinstance(error, Boom):
            assert error is not None
            raise error
        self._event("failed")


class Driver:
    """
    Drives one session, with a clock that the test moves.

    @ivar now: the time, in seconds.
    @ivar outbox: what has been sent and not been taken by the test yet.
    @ivar opened: the streams that the peer opened, in order.
    @ivar error: why the session ended.
    @ivar ended: how often it was said to have ended.
    @ivar events: what else the session has told.
    @ivar limits: which limits it has said to be reached.
    @ivar accept: called for every stream that the peer opens; by default it
        is given a L{User}.
    @ivar blocked: does the carrier take nothing?
    @ivar wakeAt: is a turn wanted?
    @ivar tickTime: when a tick is wanted.
    """

    def __init__(
        self,
        wire: str | type[Codec],
        role: Role,
        config: MuxConfig | None = None,
        now: float = 0.0,
        *,
        defaults: bool = True,
    ) -> None:
        """
        @param config: without, and without C{defaults}, there is no
            keep-alive.
        """
        codec = codecNamed(wire) if isinstance(wire, str) else wire
        if config is None:
            config = MuxConfig() if defaults else QUIET
        self.now = now
        self.outbox = bytearray()
        self.opened: list[User] = []
        self.error: MuxError | None = None
        self.ended = 0
        self.events: list[Event] = []
        self.accept: Callable[[Stream], object] = self.takeStream
        self.blocked = False
        self.closed = False
        self.woken = False
        self.tickTime: float | None = None
        self.failed: list[Stream] = []
        self.limits: list[LimitExceeded] = []
        self.session = Session(
            codec, role, config.forWire(codec.capabilities), self, now
        )

    # What the session calls.

    def wake(self, afresh: bool) -> None:
        self.woken = True

    def tickAt(self, when: float) -> None:
        self.tickTime = when

    def takeStream(self, stream: Stream) -> None:
        """
        Give a stream that the peer opened to a L{User}.
        """
        self.opened.append(User(self).attach(stream))

    def streamOpened(self, stream: Stream) -> None:
        assert stream.inbound
        self.accept(stream)

    def opensAllowed(self) -> None:
        assert self.session.opener.mayOpen
        self.events.append(("opensAllowed",))

    def limitReached(self, error: LimitExceeded) -> None:
        self.limits.append(error)

    def receiverFailed(self, stream: Stream) -> None:
        self.failed.append(stream)

    def pongReceived(self, value: int, seconds: float) -> None:
        self.events.append(("pong", value, seconds))

    def goAwayReceived(self, code: int) -> None:
        assert ("goAway", code) not in self.events
        self.events.append(("goAway", code))

    def sessionEnded(self, error: MuxError | None) -> None:
        assert self.session.over
        self.ended += 1
        assert self.ended == 1
        self.error = error

    # What a test does.

    def open(
        self, name: bytes = b"", key: Key | None = None, *, start: bool = True
    ) -> User:
        """
        Open a stream.
        """
        user = User(self)
        user.attach(self.session.openStream(user, name, key))
        if start:
            self.session.start(user.stream)
        return user

    def feed(self, *chunks: bytes) -> Driver:
        """
        The carrier delivers, and all that follows from it happens.
        """
        for chunk in chunks:
            self.session.receive(chunk, self.now)
            self.flush()
            self.run()
        return self

    def flush(self) -> None:
        """
        Send what there is to be sent, if the carrier takes it.
        """
        session = self.session
        while session.hasOutput() and not self.blocked and not self.closed:
            pieces = session.takeOutput(BATCH)
            assert all(pieces)
            self.outbox += b"".join(pieces)
            session.settle()
        if session.drained:
            session.finish()
        if self.ended and not self.closed:
            if not self.blocked:
                self.outbox += b"".join(session.takeOutput(BATCH))
            self.closed = True

    def turn(self) -> None:
        """
        One turn, and what is to be sent afterwards.
        """
        self.woken = False
        self.session.turn(self.now)
        self.flush()

    def run(self) -> Driver:
        """
        Turns, as long as any are wanted.
        """
        self.flush()
        for _ in range(MOST_TURNS):
            if not self.woken:
                return self
            self.turn()
        raise AssertionError("it wants turns without end")

    def sent(self) -> bytes:
        """
        Take what has been sent.
        """
        self.run()
        sent = bytes(self.outbox)
        self.outbox.clear()
        return sent

    def advance(self, seconds: float) -> Driver:
        """
        Let time pass, and what is due happen at its time.
        """
        until = self.now + seconds
        for _ in range(MOST_TURNS):
            when = self.tickTime
            if when is None or when > until:
                self.now = until
                return self
            self.tickTime = None
            self.now = max(self.now, when)
            self.session.tick(self.now)
            self.run()
        raise AssertionError("it wants ticks without end")

    def block(self) -> None:
        """
        The carrier takes nothing more.
        """
        if not self.blocked:
            self.blocked = True
            self.session.pauseWriting(self.now)

    def unblock(self) -> None:
        """
        The carrier takes more.
        """
        if self.blocked:
            self.blocked = False
            self.session.resumeWriting(self.now)
            self.flush()

    def lose(self, error: MuxError | None = None) -> None:
        """
        The carrier is lost.
        """
        self.closed = True
        self.session.lost(error)
        self.run()

    def endedWith(self, kind: type[E]) -> E:
        """
        The session has ended, with an error of this kind, and told all.
        """
        assert type(self.error) is kind, self.error
        assert self.ended == 1
        self.assertIdle()
        return self.error

    def assertIdle(self) -> None:
        """
        No stream is left, nothing is held, nothing is to be sent, and, if there
        is no keep-alive, nothing is ever due again.
        """
        session = self.session
        self.run()
        assert not session.streams
        assert session.inbound == 0
        assert session.held == 0
        # Control frames may be left over when the carrier is gone.
        assert self.closed or not session.hasOutput()
        config = session.config
        if session.over or config.keepAlive or config.keepAliveTimeout:
            return
        # A time that was given earlier may still come; none may follow it.
        if self.tickTime is not None:
            self.now = max(self.now, self.tickTime)
        self.tickTime = None
        session.tick(self.now)
        assert self.tickTime is None
        assert not session.hasOutput()


def mirrored(wire: str, key: Key) -> Any:
    """
    What the other side calls the stream.
    """
    if wire == "mplex":
        assert isinstance(key, int)
        return key ^ 1
    return key


class Remote:
    """
    A peer without any rules: it sends what the test says.

    Keys are those that the L{Driver} uses.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        session = driver.session
        self.wire = session.codec.name
        self._sink = RecordingSink()
        self.codec = type(session.codec)(session.role.other, self._sink, 1 << 24)
        self._keys = self.codec.keys()

    def mirror(self, key: Key) -> Any:
        """
        What the remote calls the stream.
        """
        return mirrored(self.wire, key)

    def send(self, *frames: bytes) -> None:
        """
        Send frames, in one chunk.
        """
        self.driver.feed(b"".join(frames))

    def key(self) -> Any:
        """
        The key of the next stream that the remote opens.
        """
        return self.mirror(next(self._keys))

    def opening(self, key: Key, window: int = 0, name: bytes = b"") -> bytes:
        return self.codec.encodeOpen(self.mirror(key), window, name)

    def data(self, key: Key, payload: bytes) -> bytes:
        """
        Payload, in as few frames as all wires' peers take.
        """
        frames = []
        for start in range(0, len(payload), 32768):
            part = payload[start : start + 32768]
            frames += [self.codec.payloadHeader(self.mirror(key), len(part)), part]
        return b"".join(frames)

    def end(self, key: Key) -> bytes:
        return self.codec.encodeEnd(self.mirror(key))

    def resetting(self, key: Key) -> bytes:
        return self.codec.encodeReset(self.mirror(key))

    def accept(self, key: Key, window: int = 0) -> bytes:
        return self.codec.encodeAccept(self.mirror(key), window)

    def credit(
        self, key: Key, delta: int = 0, consumed: int = 0, window: int = 0
    ) -> bytes:
        return self.codec.encodeCredit(self.mirror(key), delta, consumed, window)

    def open(self, window: int = 0, name: bytes = b"") -> User:
        """
        Open a stream.

        @return: the user that the driver gave it to.
        """
        before = len(self.driver.opened)
        self.send(self.opening(self.key(), window, name))
        assert len(self.driver.opened) == before + 1
        return self.driver.opened[-1]

    def heard(self, sent: bytes | None = None) -> list[Call]:
        """
        What the driver has sent, with the driver's keys.

        @param sent: that much of it; without, all.
        """
        rest = self.driver.sent() if sent is None else sent
        while rest:
            rest = self.codec.receive(rest)
        assert not self.codec.midFrame
        calls = merged(self._sink.calls)
        self._sink.calls.clear()
        named = ("ping", "pong", "goAway", "idle")
        return [
            call
            if call[0].startswith(named)
            else (call[0], self.mirror(call[1]), *call[2:])
            for call in calls
        ]


class Pipe:
    """
    Two sessions of the same wire protocol, and the bytes under way between
    them.

    @ivar client: the driver of the one side,
    @ivar server: and of the other.
    """

    def __init__(
        self,
        wire: str | type[Codec],
        config: MuxConfig | None = None,
        serverConfig: MuxConfig | None = None,
        *,
        defaults: bool = True,
    ) -> None:
        self.client = Driver(wire, Role.CLIENT, config, defaults=defaults)
        self.server = Driver(
            wire, Role.SERVER, serverConfig or config, defaults=defaults
        )

    @property
    def sides(self) -> tuple[Driver, Driver]:
        return self.client, self.server

    def other(self, side: Driver) -> Driver:
        """
        The other side.
        """
        return self.server if side is self.client else self.client

    def deliver(self, side: Driver, size: int | None = None) -> int:
        """
        Let some of what C{side} has sent arrive at the other side, if it reads.

        @param size: the most that arrives; without, all.
        @return: how much it was.
        """
        other = self.other(side)
        if other.closed or not other.session.reading:
            return 0
        chunk = bytes(side.outbox[:size])
        del side.outbox[: len(chunk)]
        if chunk:
            other.session.receive(chunk, other.now)
            other.flush()
        return len(chunk)

    def pump(self, size: int | None = None) -> None:
        """
        Go on until nothing moves any more.

        @param size: the most that arrives at once.
        """
        for _ in range(MOST_TURNS):
            busy = False
            for side in self.sides:
                side.flush()
                if side.woken:
                    busy = True
                    side.turn()
                if self.deliver(side, size):
                    busy = True
            if not busy:
                return
        raise AssertionError("it goes on for ever")

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """
        Let time pass, with everything arriving after each step.
        """
        left = seconds
        while left > 0:
            for side in self.sides:
                side.advance(min(step, left))
            self.pump()
            left -= step

    def lose(self) -> None:
        """
        The carrier is lost, with all that is under way.
        """
        for side in self.sides:
            side.outbox.clear()
            side.lose()

    def opener(self) -> Iterator[tuple[User, User]]:
        """
        Streams opened by the client one after the other: both of their users.
        """
        while True:
            mine = self.client.open()
            self.pump()
            yield mine, self.server.opened[-1]

    def assertIdle(self) -> None:
        """
        See L{Driver.assertIdle}; on both sides, and nothing is under way.
        """
        for side in self.sides:
            side.assertIdle()
            assert self.other(side).closed or not side.outbox
