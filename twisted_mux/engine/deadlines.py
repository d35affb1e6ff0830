"""
What is due when: everything of a session that has to do with time, in one
place.

Nothing has a timer of its own.  Streams that wait for the same kind of thing
wait equally long, so each kind is a L{Timeouts
<twisted_mux.engine.limits.Timeouts>}, or L{Standstills} where they have that long
whenever something moves; the carrier's own times are single numbers.
L{Deadlines} tells the driver of the earliest of all of them, and only when that
gets earlier: a time that is pushed back, or no longer matters, is found out when
it comes.  So the traffic of a busy session touches no timer.

Most streams that are left wait for nothing but the peer's end, and have it soon.
So they begin in groups, those of one moment in one list; and when the next group
begins, those of the last one that wait still get a time of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from twisted_mux.engine.limits import Timeouts
from twisted_mux.engine.liveness import Liveness
from twisted_mux.engine.states import CLOSED
from twisted_mux.errors import PeerTimeout

if TYPE_CHECKING:
    from twisted_mux.config import MuxConfig
    from twisted_mux.engine.session import Session
    from twisted_mux.engine.stream import Stream


# Streams in a group, at most: what has ended is kept until the next one begins.
_GROUP = 256


class Standstills(dict["Stream", tuple[float, int]]):
    """
    Streams on which something has to move in a given time, and again and again.
    As L{Timeouts<twisted_mux.engine.limits.Timeouts>}, but for what had moved when
    the time began.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        """
        @param seconds: the time; 0 is for ever, and then none is to be started.
        """
        super().__init__()
        self.seconds = float(seconds)

    def start(self, stream: Stream, now: float) -> float:
        """
        Count from now, afresh if it was started before.

        @return: when it is due.
        """
        if stream in self:
            del self[stream]
        due = now + self.seconds
        self[stream] = (due, stream.moved())
        return due

    def next(self) -> float | None:
        """
        When the first one is due, or C{None} if there is none.
        """
        for due, _ in self.values():
            return due
        return None

    def expired(self, now: float, deaf: bool) -> Iterator[Stream]:
        """
        Those on which nothing has moved, each stopped before it is given.  The
        others that are due count from now.

        @param deaf: nothing could be seen to move.
        """
        while True:
            due = self.next()
            if due is None or due > now:
                return
            stream = next(iter(self))
            _, moved = self.pop(stream)
            if deaf or stream.moved() != moved:
                self.start(stream, now)
            else:
                yield stream


class Deadlines:
    """
    The times of one session.

    @ivar liveness: its pings and keep-alive.
    @ivar limitsOpening: is there a time in which a stream has to be acknowledged?
    @ivar limitsHalfClosed: is there one for streams that are half-closed?
    """

    def __init__(self, session: Session, config: MuxConfig, now: float) -> None:
        self._session = session
        self._config = config
        capabilities = session.capabilities
        silence = config.keepAliveTimeout or 0
        if capabilities.ping and not config.keepAlive:
            # A ping that the application sends is no test of the peer.
            silence = 0
        self._silence = silence
        self._pings = capabilities.ping
        self.liveness = Liveness(config.keepAlive or 0, silence, now)
        openTimeout = 0.0
        if config.opening == "ack" and capabilities.ack:
            openTimeout = config.openTimeout
        self.limitsOpening = bool(openTimeout)
        self.limitsHalfClosed = bool(config.halfClosedTimeout)
        self._opening: Timeouts[Stream] = Timeouts(openTimeout)
        self._lingering = Standstills(config.lingerTimeout)
        # Those that wait for the peer's end only; and the last group of them.
        self._awaiting: Timeouts[Stream] = Timeouts(config.lingerTimeout)
        self._justLeft: list[Stream] = []
        self._leftAt = float("-inf")
        self._halfClosed = Standstills(config.halfClosedTimeout)
        self._slow: Timeouts[Stream] = Timeouts(config.slowReaderGrace)
        self._drainBy: float | None = None
        self._drainSeconds = 0.0
        self._pausedAt: float | None = None
        self._partialAt: float | None = None
        self._told: float | None = None

    # What begins and ends.

    def opened(self, stream: Stream, now: float) -> None:
        """
        The peer has to acknowledge a stream.
        """
        if stream not in self._opening:
            self._begin(self._opening, stream, now)

    def acknowledged(self, stream: Stream) -> None:
        """
        It has, or the stream has gone.
        """
        self._opening.pop(stream, None)

    def lingers(self, stream: Stream, now: float) -> None:
        """
        A stream that nobody here uses waits until what was written to it is
        sent, and maybe for the peer's end.
        """
        if self._lingering.seconds:
            self.due(self._lingering.start(stream, now))

    def awaitsEnd(self, stream: Stream, now: float) -> None:
        """
        A stream that nobody here uses waits for the peer's end only.
        """
        if now != self._leftAt or len(self._justLeft) >= _GROUP:
            self._sortLeft()
            self._leftAt = now
            if self._awaiting.seconds:
                self.due(now + self._awaiting.seconds)
        self._justLeft.append(stream)

    def _sortLeft(self) -> None:
        awaiting = self._awaiting
        if awaiting.seconds:
            due = self._leftAt + awaiting.seconds
            for stream in self._justLeft:
                if stream.state is not CLOSED:
                    awaiting[stream] = due
        self._justLeft = []

    def goesOn(self, stream: Stream, now: float) -> None:
        """
        The peer still sends on a stream that nobody here uses: from now on it has
        all its time to end that.
        """
        self._sortLeft()
        if stream in self._awaiting:
            self._awaiting.start(stream, now)

    def halfClosed(self, stream: Stream, now: float) -> None:
        """
        One direction of a stream has ended.
        """
        self.due(self._halfClosed.start(stream, now))

    def readerIsSlow(self, stream: Stream, now: float) -> None:
        """
        A stream holds more for its reader than it may for long.
        """
        if not self._slow.seconds:
            self._session.table.lose(
                stream,
                PeerTimeout(
                    f"{self._about(stream)}: its reader left {stream.held} bytes",
                    "window",
                    self._config.window,
                ),
            )
        elif stream not in self._slow:
            self._begin(self._slow, stream, now)

    def readerCaughtUp(self, stream: Stream) -> None:
        """
        A stream's reader reads again: it has all its time when it stops anew.
        """
        self._slow.pop(stream, None)

    def _begin(self, timeouts: Timeouts[Stream], stream: Stream, now: float) -> None:
        timeouts.start(stream, now)
        self.due(now + timeouts.seconds)

    def forget(self, stream: Stream) -> None:
        """
        A stream has gone.
        """
        if self._awaiting:
            self._awaiting.pop(stream, None)
        if self._lingering:
            self._lingering.pop(stream, None)
        if self._halfClosed:
            self._halfClosed.pop(stream, None)
        if self._slow:
            self._slow.pop(stream, None)

    def clear(self) -> None:
        """
        The session is over.
        """
        self._opening.clear()
        self._lingering.clear()
        self._awaiting.clear()
        self._justLeft = []
        self._halfClosed.clear()
        self._slow.clear()

    @property
    def writingPaused(self) -> bool:
        """
        Does the carrier take nothing now?
        """
        return self._pausedAt is not None

    def pauseWriting(self, now: float) -> None:
        """
        The carrier takes no more for now.
        """
        self._pausedAt = now
        if self._config.writeTimeout:
            self.due(now + self._config.writeTimeout)

    def resumeWriting(self) -> None:
        """
        The carrier takes more.
        """
        self._pausedAt = None

    def midFrame(self, kept: int, size: int, now: float) -> None:
        """
        A chunk was read.

        @param kept: how many bytes at its end are a part of a header.
        @param size: how many bytes it has; if that is fewer the header has begun
            in a chunk before.
        """
        if not kept:
            self._partialAt = None
        elif self._partialAt is None or kept <= size:
            self._partialAt = now
            if self._config.frameTimeout:
                self.due(now + self._config.frameTimeout)

    def drainIn(self, seconds: float, now: float) -> None:
        """
        The session has to be drained in so many seconds, or earlier if that was
        said before.
        """
        when = now + seconds
        if self._drainBy is None or when < self._drainBy:
            self._drainBy = when
            self._drainSeconds = seconds
            self.due(when)

    # What is due.

    def due(self, when: float) -> None:
        """
        Something is due at that time.
        """
        if not self._session.over and (self._told is None or when < self._told):
            self._told = when
            self._session.handler.tickAt(when)

    def reschedule(self) -> None:
        """
        Tell the driver when to call again.
        """
        for when in self._all():
            if when is not None:
                self.due(when)

    def _all(self) -> Iterator[float | None]:
        config = self._config
        yield self.liveness.next()
        yield self._opening.next()
        yield self._lingering.next()
        yield self._awaiting.next()
        yield self._halfClosed.next()
        yield self._slow.next()
        yield self._drainBy
        if self._pausedAt is not None and config.writeTimeout:
            yield self._pausedAt + config.writeTimeout
        if self._partialAt is not None and config.frameTimeout:
            yield self._partialAt + config.frameTimeout
        if not self._pings and self._silence:
            yield self.liveness.lastReceived + self._silence

    def check(self, now: float) -> None:
        """
        Do what is due.

        @raise PeerTimeout: the session is to end.
        """
        self._told = None
        self._checkCarrier(now)
        self._checkStreams(now)
        self.reschedule()

    def _checkCarrier(self, now: float) -> None:
        session = self._session
        config = self._config
        liveness = self.liveness
        if not session.reading:
            # We do not look at what it says, so we can't say it is silent, nor
            # that it has not gone on.
            liveness.lastReceived = now
            if self._partialAt is not None:
                self._partialAt = now
        silent = liveness.tick(now, self._pings, session.probe)
        if silent:
            raise PeerTimeout(
                f"nothing came from the peer for {silent:g} seconds",
                "keepAliveTimeout",
                self._silence,
            )
        for since, name, limit, what in (
            (
                self._pausedAt,
                "writeTimeout",
                config.writeTimeout,
                "took nothing of what was sent to it",
            ),
            (
                self._partialAt,
                "frameTimeout",
                config.frameTimeout,
                "has not finished a frame",
            ),
        ):
            # By the sum that was said to be due: the difference may round to less.
            if since is not None and limit and now >= since + limit:
                error = f"the peer {what} for {now - since:g} seconds"
                raise PeerTimeout(error, name, limit)
        if self._drainBy is not None and now >= self._drainBy:
            raise PeerTimeout(
                f"{len(session.streams)} streams did not end in the time to drain",
                "drainTimeout",
                self._drainSeconds,
            )

    def _checkStreams(self, now: float) -> None:
        session = self._session
        # As long as we do not read, what we wait for may have come.
        deaf = not session.reading
        for stream in self._opening.expired(now):
            if deaf:
                self._opening.start(stream, now)
            else:
                error = "not acknowledged in"
                self._lose(stream, self._opening.seconds, "openTimeout", error)
        for stream in self._lingering.expired(now, deaf):
            session.table.giveUp(stream)
        self._sortLeft()
        for stream in self._awaiting.expired(now):
            if deaf:
                self._awaiting.start(stream, now)
            else:
                session.table.giveUp(stream)
        for stream in self._slow.expired(now):
            if stream.held > self._config.window:
                error = f"its reader left {stream.held} bytes for"
                self._lose(stream, self._slow.seconds, "slowReaderGrace", error)
        for stream in self._halfClosed.expired(now, deaf):
            error = "half-closed, and nothing moved in"
            self._lose(stream, self._halfClosed.seconds, "halfClosedTimeout", error)

    def _lose(self, stream: Stream, seconds: float, limit: str, what: str) -> None:
        error = f"{self._about(stream)}: {what} {seconds:g} seconds"
        self._session.table.lose(stream, PeerTimeout(error, limit, seconds))

    def _about(self, stream: Stream) -> str:
        return f"stream {self._session.describe(stream)}"
