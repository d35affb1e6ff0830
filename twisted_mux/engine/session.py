"""
One carrier being multiplexed: the table of streams, what is to be sent, and
when something is due.

B{Who drives it.}  A driver that owns the carrier and the clock
(L{twisted_mux.protocol.MuxProtocol}, or thirty lines of anything else):

  - it passes what the carrier delivers to L{Session.receive}, as long as
    L{Session.reading} says so;
  - it takes what is to be sent with L{Session.takeOutput}, passes that on, then
    calls L{Session.settle}, until there is no more or the carrier is full;
  - it calls L{Session.turn} soon after L{SessionHandler.wake}, from a fresh
    stack, and L{Session.tick} at the time of L{SessionHandler.tickAt};
  - it says when the carrier takes no more (L{Session.pauseWriting},
    L{Session.resumeWriting}) and when it is gone (L{Session.lost}).

C{now} is seconds on any clock that does not go backwards.

B{Who owns what.}  The codec owns the format; L{Reader
<twisted_mux.engine.reader.Reader>} the rules of receiving, and all that waits
for readers; L{Stream<twisted_mux.engine.stream.Stream>} its own two
directions; L{Scheduler<twisted_mux.engine.scheduler.Scheduler>} the order of
sending; L{Liveness<twisted_mux.engine.liveness.Liveness>} the pings.  The
session owns the table and the control frames, and is the only one to make,
close and forget streams.

B{Control frames} (opens, acknowledgements, credit, resets, pongs) go out before
any payload, in the order in which they came up.  A stream's end is no control
frame: it goes out behind the stream's payload, in the stream's turn.

B{Re-entrancy.}  Handlers are called from L{receive}, L{settle}, L{turn},
L{tick}, L{lost} and L{abort}, and may call everything on the session and its
streams except those six.  Nothing that a handler calls makes another handler
be called before it returns, but for L{abort}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from twisted_mux.engine.limits import Timeouts
from twisted_mux.engine.liveness import Liveness
from twisted_mux.engine.reader import Reader
from twisted_mux.engine.scheduler import Scheduler
from twisted_mux.engine.states import Event, State
from twisted_mux.engine.stream import Stream, StreamHandler
from twisted_mux.errors import (
    KeyInUse,
    KeysExhausted,
    MuxError,
    NotSupported,
    PeerTimeout,
    ProtocolError,
    SessionClosed,
    TooManyStreams,
)
from twisted_mux.wire.base import Codec, Credit, Key, Role

if TYPE_CHECKING:
    from twisted_mux.config import MuxConfig


class SessionHandler(Protocol):
    """
    What a session tells its driver.  No method may raise.
    """

    def wake(self, afresh: bool) -> None:
        """
        There is something to do: call L{Session.turn}, then send, soon.

        @param afresh: it must come after everything that has been put off
            until now, even if a turn is due already.
        """

    def tickAt(self, when: float) -> None:
        """
        Call L{Session.tick} at that time; earlier requests are void.
        """

    def streamOpened(self, stream: Stream) -> None:
        """
        The peer opened a stream.  Set its C{handler} and C{receiver}, or it
        is refused; its payload comes in a later turn.
        """

    def opensAllowed(self) -> None:
        """
        L{Session.mayOpen} has become true again.
        """

    def receiverFailed(self, stream: Stream) -> None:
        """
        A receiver raised after its stream's handler had left: called while
        the exception is being handled.
        """

    def pongReceived(self, value: int, seconds: float) -> None:
        """
        A ping of ours was answered, after so many seconds.
        """

    def goAwayReceived(self, code: int) -> None:
        """
        The peer takes no more streams.
        """

    def sessionEnded(self, error: MuxError | None) -> None:
        """
        It is over, and every stream has been told: send what is left, then
        close the carrier.  Called once, unless the carrier was lost or
        L{Session.abort} called.

        @param error: why, or C{None} when it was drained.
        """


@dataclass
class Counters:
    """
    What a session has seen so far.  Bytes are those on the carrier.
    """

    bytesReceived: int = 0
    bytesSent: int = 0
    streamsOpened: int = 0
    streamsAccepted: int = 0
    streamsRefused: int = 0
    resetsReceived: int = 0
    resetsSent: int = 0


class Session:
    """
    The state of one carrier being multiplexed.

    @ivar streams: the streams not yet ended in both directions, by key; to be
        looked at only.
    @ivar over: is the session at its end?
    @ivar draining: are no more streams opened or accepted?
    @ivar reading: does the session want what the carrier delivers?
    @ivar unbounded: has the wire no credit?
    @ivar counters: what it has seen so far.
    """

    def __init__(
        self,
        codec: type[Codec],
        role: Role,
        config: MuxConfig,
        handler: SessionHandler,
        now: float,
    ) -> None:
        """
        @param config: with the wire's own defaults filled in
            (L{twisted_mux.config.MuxConfig.forWire}).
        """
        self.capabilities = codec.capabilities
        self.config = config
        self.role = role
        self.handler = handler
        self.streams: dict[Key, Stream] = {}
        self.counters = Counters()
        self.unbounded = self.capabilities.credit is Credit.NONE
        silence = config.keepAliveTimeout or 0
        if self.capabilities.ping and not config.keepAlive:
            silence = 0
        self.liveness = Liveness(config.keepAlive or 0, silence, now)
        self._reader = Reader(self, self.streams, config, now)
        self.codec = codec(role, self._reader, config.maxFrame)
        self._scheduler = Scheduler(self.codec)
        self._keys = self.codec.keys()
        self._keysLeft = True
        self._control: list[bytes] = []
        self._controlSize = 0
        self._done: list[Stream] = []
        self._unread = b""
        self._corked = False
        self._woken = False
        self.over = False
        self.draining = False
        self.peerLeft = False
        self.reading = True
        self._goneAway = False
        self._inbound = 0
        self._now = now
        # Times.
        self._opening: Timeouts[Stream] = Timeouts(config.openTimeout)
        self._lingering: Timeouts[Stream] = Timeouts(config.lingerTimeout)
        self._halfClosed: Timeouts[Stream] = Timeouts(config.halfClosedTimeout)
        self._progress: dict[Stream, int] = {}
        self._slow: Timeouts[Stream] = Timeouts(config.slowReaderGrace)
        self._unacknowledged = 0
        self._drainBy: float | None = None
        self._pausedAt: float | None = None
        self._partialAt: float | None = None
        self._nextTick: float | None = None
        self._reschedule()

    # What a driver calls.

    def receive(self, data: bytes, now: float) -> None:
        """
        The carrier delivered C{data}.
        """
        if self.over:
            return
        self._now = self._reader.now = self.liveness.lastReceived = now
        self.counters.bytesReceived += len(data)
        if self._unread or self._corked:
            # There is more to come from a turn, or a carrier delivered while
            # a handler was being called.
            self._unread += data
            self._wake(False)
            return
        self._corked = True
        self._read(data)
        self._corked = False
        if self._reader.hasDeliveries or self._unread:
            self._wake(True)

    def _read(self, data: bytes) -> None:
        try:
            self._unread = self.codec.receive(data)
        except ProtocolError as error:
            self.fail(error)
            return
        if self._unread:
            self.reading = False
        if self.codec.midFrame:
            if self._partialAt is None:
                self._partialAt = self._now
                if self.config.frameTimeout:
                    self._due(self._now + self.config.frameTimeout)
        else:
            self._partialAt = None
        if self._controlSize > self.config.controlBacklog:
            self.readOn()

    def turn(self, now: float) -> None:
        """
        Do what was put off.
        """
        self._now = self._reader.now = now
        self._woken = False
        self._corked = True
        if self._unread and not self.over:
            unread = self._unread
            self._unread = b""
            self.readOn()
            if self.reading:
                self._read(unread)
            else:
                self._unread = unread
        self._reader.deliverHeld(self.config.turnBytes)
        self._corked = False
        if self._reader.hasDeliveries or (self._unread and self.reading):
            self._wake(False)

    def takeOutput(self, room: int) -> list[bytes]:
        """
        Take what is to be sent now: all control frames, then payload in the
        streams' turns, about C{room} bytes of both together.

        @return: the pieces, each C{bytes}, in order; the header and the
            payload of a frame are two.  None of them are empty.
        """
        out = self._control
        size = self._controlSize
        self._control = []
        if out:
            self._controlSize = 0
            if not self.reading:
                self.readOn()
        size += self._scheduler.fill(out, room - size, self._done)
        self.counters.bytesSent += size
        return out

    @property
    def hasOutput(self) -> bool:
        """
        Is there (probably) anything to send?
        """
        return bool(self._control or self._scheduler)

    def settle(self) -> None:
        """
        What L{takeOutput} took has been passed on: tell the streams that wait
        for that, one after the other.
        """
        done = self._done
        if not done:
            return
        self._done = []
        self._corked = True
        for stream in done:
            handler = stream.handler
            if handler is None:
                continue
            if not stream.writable:
                handler.writingEnded()
            elif not stream.buffered:
                handler.writeBufferEmptied()
        self._corked = False

    def tick(self, now: float) -> None:
        """
        See what is due.  Call it at the time given to
        L{SessionHandler.tickAt}; earlier or later does no harm.
        """
        if self.over:
            return
        self._now = self._reader.now = now
        self._nextTick = None
        try:
            self._checkCarrier(now)
            self._checkStreams(now)
        except ProtocolError as error:
            self.fail(error)
            return
        self._reschedule()

    def pauseWriting(self, now: float) -> None:
        """
        The carrier takes no more for now.
        """
        self._pausedAt = now
        if self.config.writeTimeout:
            self._due(now + self.config.writeTimeout)

    def resumeWriting(self) -> None:
        """
        The carrier takes more.
        """
        self._pausedAt = None

    def lost(self, error: MuxError | None = None) -> None:
        """
        The carrier is gone.  Does nothing if the session is over already.
        """
        if not self.over:
            self._end(error)

    abort = lost

    # What the application wants, by way of the driver.

    @property
    def mayOpen(self) -> bool:
        """
        Is there room for another stream that the peer has not acknowledged?
        """
        return not self.config.maxUnacknowledged or (
            self._unacknowledged < self.config.maxUnacknowledged
        )

    @property
    def takesStreams(self) -> bool:
        """
        Would L{openStream} make one now, and be heard?
        """
        return not (self.over or self.draining or self.peerLeft) and self._keysLeft

    def openStream(
        self, handler: StreamHandler, name: bytes = b"", key: Key | None = None
    ) -> Stream:
        """
        Open a stream.  Its open goes out with the next output; it can be
        written to at once.  Set its C{receiver}.

        @param name: what the wire tells the peer about it, if it can.
        @param key: the key, on addressed wires; otherwise the next one is
            taken.
        @raise SessionClosed: no more streams are opened here, or the peer
            takes no more.
        @raise TooManyStreams: C{maxOutboundStreams} are open.
        @raise KeysExhausted: a new carrier is needed.
        @raise KeyInUse: the key is open already.
        @raise NotSupported: the wire has no names.
        """
        if self.over or self.draining:
            raise SessionClosed("the session is closed")
        if self.peerLeft:
            raise SessionClosed("the peer takes no more streams")
        if name and not self.capabilities.names:
            raise NotSupported(f"streams of {self.codec.name} have no names")
        config = self.config
        if config.maxOutboundStreams and (
            len(self.streams) - self._inbound >= config.maxOutboundStreams
        ):
            raise TooManyStreams(f"{config.maxOutboundStreams} streams are open")
        if key is None:
            key = self._nextKey()
        elif key in self.streams:
            raise KeyInUse(f"stream {key!r} is open already")
        reader = self._reader
        stream = Stream(
            self,
            key,
            name,
            False,
            reader.initialReceive,
            reader.lowWater,
            reader.initialSend,
        )
        stream.handler = handler
        stream.queued = True
        self.streams[key] = stream
        self.counters.streamsOpened += 1
        if self.capabilities.ack:
            self._unacknowledged += 1
            self._opening.start(stream, self._now)
        self.control(self.codec.encodeOpen(key, reader.window, name))
        return stream

    def _nextKey(self) -> Key:
        for key in self._keys:
            if key not in self.streams:
                return key
        self._keysLeft = False
        raise KeysExhausted(f"the session has used up its {self.codec.name} stream ids")

    def start(self, stream: Stream) -> None:
        """
        Begin to deliver a stream's payload; it follows in a later turn.  Once
        for each stream that L{openStream} returned.
        """
        stream.queued = False
        if stream.handler is not None:
            self.deliverLater(stream)

    def ping(self, now: float) -> int:
        """
        Ask the peer for a sign of life.

        @return: the value that L{SessionHandler.pongReceived} will be called
            with.
        @raise NotSupported: the wire has no ping that is answered.
        @raise SessionClosed: it is over, or a thousand pings are unanswered.
        """
        if not self.capabilities.ping:
            raise NotSupported(f"{self.codec.name} has no ping")
        if self.over or self.liveness.full:
            raise SessionClosed("the session is closed or its peer answers no pings")
        value = self.liveness.ping(now)
        self.control(self.codec.encodePing(value))
        if self.liveness.next(True) is not None:
            self._reschedule()
        return value

    def measure(self) -> None:
        """
        Find out the round trip, unless that is under way.
        """
        if self.capabilities.ping and not self.over and not self.liveness.pinging:
            self.ping(self._now)

    def drain(self, now: float, seconds: float) -> None:
        """
        Open and accept no more streams, let the live ones finish, then end.
        A second call can only make the time shorter.

        @param seconds: how long that may take; 0 is for ever.
        """
        if self.over:
            return
        if seconds:
            by = now + seconds
            if self._drainBy is None or by < self._drainBy:
                self._drainBy = by
                self._due(by)
        if not self.draining:
            self.draining = True
            last = self.capabilities.goAwayEndsStreams or self.config.goAway == "last"
            if not last:
                self._goAway("normal")
            # From the driver's next turn, so that nobody is called from here.
            self._wake(False)

    @property
    def drained(self) -> bool:
        """
        Is it draining, and has the last stream ended?
        """
        return self.draining and not self.streams and not self.over

    def finish(self) -> None:
        """
        End a session that is L{drained}.
        """
        if self.drained:
            self._goAway("normal")
            self.over = True
            self.handler.sessionEnded(None)

    def describe(self, stream: Stream) -> str:
        """
        How messages call a stream.
        """
        key = stream.key
        if self.capabilities.addressed:
            return "{}:{}".format(*self.codec.addressOfKey(key))
        return str(key)

    @property
    def inbound(self) -> int:
        """
        How many of the streams the peer opened.
        """
        return self._inbound

    @property
    def held(self) -> int:
        """
        What is held for readers that do not read, in bytes.
        """
        return self._reader.held

    @property
    def current(self) -> Stream | None:
        """
        The stream whose payload was delivered last.
        """
        return self._reader.current

    def idleSeconds(self, now: float) -> float:
        """
        For how long nothing has arrived from the peer.
        """
        return now - self.liveness.lastReceived

    # What streams, the reader and the scheduler call.

    def control(self, frame: bytes) -> None:
        """
        Send a control frame as soon as possible.
        """
        if frame:
            self._control.append(frame)
            self._controlSize += len(frame)
            if not self._corked:
                self._wake(False)

    def ready(self, stream: Stream) -> None:
        """
        A stream that is in no queue has something to send.
        """
        self._scheduler.add(stream)
        if not self._corked:
            self._wake(False)

    def unblocked(self, stream: Stream) -> None:
        """
        A stream that is in no queue has got credit for what it has to send.
        """
        self._scheduler.addBusy(stream)
        if not self._corked:
            self._wake(False)

    def deliverLater(self, stream: Stream) -> None:
        """
        A stream's reader wants what waits for it.
        """
        self._reader.deliverLater(stream)
        if not self._corked:
            self._wake(False)

    def _wake(self, afresh: bool) -> None:
        if afresh or not self._woken:
            self._woken = True
            self.handler.wake(afresh)

    def readOn(self) -> None:
        """
        See whether the carrier should be read, after something changed that
        this depends on.
        """
        self.reading = (
            self._reader.held < (self.config.receiveBudget or 0)
            and self._controlSize <= self.config.controlBacklog
            and not self._unread
        )
        if self._unread and not self._corked:
            self._wake(False)

    def endSent(self, stream: Stream) -> bytes:
        """
        A stream's end is about to be taken.

        @return: the frame.
        """
        stream.advance(Event.SEND_END)
        if stream.state is State.CLOSED:
            self.remove(stream)
        elif stream.handler is None:
            self._linger(stream)
        else:
            self._watchHalfClosed(stream)
        return self.codec.encodeEnd(stream.key)

    def _linger(self, stream: Stream) -> None:
        self._lingering.start(stream, self._now)
        if self.config.lingerTimeout:
            self._due(self._now + self.config.lingerTimeout)

    def left(self, stream: Stream) -> None:
        """
        A stream's owner has done with it.
        """
        self._reader.dropHeld(stream)
        if stream.state is State.LOCAL_ENDED:
            self._linger(stream)
        # A peer that waits for credit has to find out that nobody reads.
        self._reader.returnCredit(stream)

    def dropped(self, stream: Stream) -> None:
        """
        A stream is to be reset, as far as the wire can.
        """
        self._reader.dropHeld(stream)
        if stream.state is State.CLOSED or self.over:
            stream.discardOutput()
            return
        if self.capabilities.reset:
            self.close(stream, Event.SEND_RESET)
            self.counters.resetsSent += 1
            self.control(self.codec.encodeReset(stream.key))
            return
        writable = stream.writable
        stream.discardOutput()
        if writable:
            stream.writable = stream.ending = True
            if stream.turn == 0:
                self.ready(stream)
        else:
            self._linger(stream)
        self._reader.returnCredit(stream)

    def lose(self, stream: Stream, error: MuxError) -> None:
        """
        Drop a stream because of what its peer did, and tell its owner.
        """
        handler = stream.handler
        stream.handler = stream.receiver = None
        stream.flowing = False
        self.dropped(stream)
        if handler is not None:
            handler.streamLost(error)

    def close(self, stream: Stream, event: Event) -> None:
        """
        Both directions of a stream end at once; nobody is told.
        """
        stream.advance(event)
        if event is Event.RECEIVE_RESET:
            self.counters.resetsReceived += 1
        self._reader.dropHeld(stream)
        stream.discardOutput()
        stream.flowing = stream.endWaits = False
        stream.handler = stream.receiver = None
        self.remove(stream)

    def remove(self, stream: Stream) -> None:
        """
        Take a stream whose both directions have ended from the table.
        """
        del self.streams[stream.key]
        self._reader.forget(stream)
        if stream.inbound:
            self._inbound -= 1
        elif not stream.acknowledged and self.capabilities.ack:
            self._opened(stream)
        if self._lingering:
            self._lingering.stop(stream)
        if self._halfClosed:
            self._halfClosed.stop(stream)
            self._progress.pop(stream, None)
        if self._slow:
            self._slow.stop(stream)
        if self.draining and not self.streams and not self._corked:
            self._wake(False)

    def readerIsSlow(self, stream: Stream) -> None:
        """
        A stream without credit holds more than its window.
        """
        if self.config.slowReader == "reset" and stream not in self._slow:
            self._slow.start(stream, self._now)
            self._due(self._now + self.config.slowReaderGrace)

    # What the reader has read.

    def openedByPeer(self, key: Key, sendCredit: int, name: bytes) -> None:
        """
        The peer opens a stream that is not open yet.
        """
        if self.draining or self._inbound >= self.config.maxStreams:
            self._refuse(key)
            return
        reader = self._reader
        stream = Stream(
            self, key, name, True, reader.initialReceive, reader.lowWater, sendCredit
        )
        self.streams[key] = stream
        self._inbound += 1
        reader.deliverLater(stream)
        self.handler.streamOpened(stream)
        if stream.handler is None and stream.state is State.OPEN and not stream.ending:
            self.counters.streamsRefused += 1
            reader.chargeReset()
            stream.reset()
        elif self.streams.get(key) is stream:
            self.counters.streamsAccepted += 1
            self.control(self.codec.encodeAccept(key, reader.window))

    def _refuse(self, key: Key) -> None:
        self.counters.streamsRefused += 1
        self._reader.chargeReset()
        self._reader.recent.add(key)
        # Without a reset the peer sees a stream that ends at once; no state is
        # made for it here.
        codec = self.codec
        self.control(
            codec.encodeReset(key) if self.capabilities.reset else codec.encodeEnd(key)
        )

    def acknowledged(self, stream: Stream) -> None:
        """
        The peer accepted a stream of ours.
        """
        stream.acknowledged = True
        self._opened(stream)
        if stream.handler is not None:
            stream.handler.streamAccepted()

    def _opened(self, stream: Stream) -> None:
        self._opening.stop(stream)
        full = not self.mayOpen
        self._unacknowledged -= 1
        if full and self.mayOpen and not self.over:
            self.handler.opensAllowed()

    def pong(self, value: int) -> None:
        """
        The peer answers a ping.
        """
        seconds = self.liveness.pong(value, self._now)
        if seconds is None:
            self._reader.idleReceived()
        else:
            self.handler.pongReceived(value, seconds)

    def wentAway(self, code: int) -> None:
        """
        The peer takes no more streams.
        """
        if self.over:
            return
        if self.peerLeft:
            self._reader.idleReceived()
            return
        self.peerLeft = True
        self.handler.goAwayReceived(code)

    # The end.

    def fail(self, error: MuxError) -> None:
        """
        End the session because of the peer.
        """
        if self.over:
            return
        kind = error.kind if isinstance(error, ProtocolError) else "internal"
        self._goAway(kind)
        self._end(error)
        self.handler.sessionEnded(error)

    def _goAway(self, kind: str) -> None:
        if self.capabilities.goAway and not (self._goneAway and kind == "normal"):
            self._goneAway = True
            codes = self.codec.goAwayCodes
            self.control(self.codec.encodeGoAway(codes.get(kind, codes["internal"])))

    def _end(self, error: MuxError | None) -> None:
        self.over = True
        self.reading = False
        self._unread = b""
        streams = list(self.streams.values())
        self.streams.clear()
        self._scheduler.clear()
        for timeouts in (self._opening, self._lingering, self._halfClosed, self._slow):
            timeouts.clear()
        self._progress.clear()
        for stream in streams:
            handler = stream.handler
            stream.handler = stream.receiver = None
            stream.flowing = stream.endWaits = False
            stream.advance(Event.LOSE)
            stream.discardOutput()
            self._reader.held -= stream.dropHeld()
            if handler is not None:
                handler.streamLost(error)

    # Time.

    def _due(self, when: float) -> None:
        if not self.over and (self._nextTick is None or when < self._nextTick):
            self._nextTick = when
            self.handler.tickAt(when)

    def _deadlines(self) -> Iterator[float | None]:
        config = self.config
        yield self.liveness.next(True)
        yield self._opening.next() if config.opening == "ack" else None
        yield self._lingering.next()
        yield self._halfClosed.next()
        yield self._slow.next()
        yield self._drainBy
        if self._pausedAt is not None and config.writeTimeout:
            yield self._pausedAt + config.writeTimeout
        if self._partialAt is not None and config.frameTimeout:
            yield self._partialAt + config.frameTimeout
        if not self.capabilities.ping and config.keepAliveTimeout:
            yield self.liveness.lastReceived + config.keepAliveTimeout

    def _reschedule(self) -> None:
        for when in self._deadlines():
            if when is not None:
                self._due(when)

    def _checkCarrier(self, now: float) -> None:
        config = self.config
        liveness = self.liveness
        if not self.reading:
            # We do not look at what it says, so we can't say it is silent.
            liveness.lastReceived = now
        silent = liveness.tick(now, self.capabilities.ping, self._probe)
        if silent:
            raise PeerTimeout(f"nothing came from the peer for {silent:g} seconds")
        for since, limit, what in (
            (
                self._pausedAt,
                config.writeTimeout,
                "took nothing of what was sent to it",
            ),
            (self._partialAt, config.frameTimeout, "has not finished a frame"),
        ):
            if since is not None and limit and now - since >= limit:
                raise PeerTimeout(f"the peer {what} for {now - since:g} seconds")
        if self._drainBy is not None and now >= self._drainBy:
            raise PeerTimeout(
                f"{len(self.streams)} streams did not end in the time for draining"
            )

    def _probe(self) -> None:
        if self.capabilities.ping:
            self.measure()
        elif self.capabilities.probe:
            self.control(self.codec.encodeProbe())

    def _checkStreams(self, now: float) -> None:
        if self.config.opening == "ack":
            for stream in self._opening.expired(now):
                self.lose(
                    stream,
                    PeerTimeout(
                        f"not acknowledged in {self.config.openTimeout:g} seconds"
                    ),
                )
        for stream in self._lingering.expired(now):
            # The peer has not ended its direction, and nobody is here to read.
            if self.capabilities.reset:
                self.dropped(stream)
            else:
                self.close(stream, Event.LOSE)
        for stream in self._slow.expired(now):
            if stream.held > self.config.window:
                self.lose(stream, PeerTimeout("its reader took too long"))
        for stream in self._halfClosed.expired(now):
            progress = stream.bytesReceived + stream.bytesSent
            if progress == self._progress.pop(stream, -1):
                self.lose(stream, PeerTimeout("half-closed, and nothing moved"))
            elif stream.key in self.streams:
                self._watchHalfClosed(stream)

    def _watchHalfClosed(self, stream: Stream) -> None:
        if self.config.halfClosedTimeout:
            self._halfClosed.start(stream, self._now)
            self._progress[stream] = stream.bytesReceived + stream.bytesSent
            self._due(self._now + self.config.halfClosedTimeout)
