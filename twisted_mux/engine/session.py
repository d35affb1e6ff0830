"""
One carrier being multiplexed: the table of streams, what is to be sent, and
when something is due.

B{Who drives it.}  A driver that owns the carrier and the clock
(L{twisted_mux.protocol.MuxProtocol}, or thirty lines of anything else):

  - it passes what the carrier delivers to L{Session.receive}, as long as
    L{Session.reading} says so;
  - it takes what is to be sent with L{Session.takeOutput}, passes that on, then
    calls L{Session.settle}, until there is no more or the carrier is full;
  - it calls L{Session.turn} soon after C{SessionHandler.wake}, from a fresh
    stack, and L{Session.tick} at the time of C{SessionHandler.tickAt};
  - it says when the carrier takes no more (L{Session.pauseWriting},
    L{Session.resumeWriting}) and when it is gone (L{Session.lost}).

C{now} is seconds on any clock that does not go backwards.

B{Who owns what.}  The codec owns the format; L{Reader
<twisted_mux.engine.reader.Reader>} the rules of receiving, and all that waits
for readers; L{Stream<twisted_mux.engine.stream.Stream>} its own two
directions; L{Outbox<twisted_mux.engine.outbox.Outbox>} the order of sending;
L{Opener<twisted_mux.engine.opener.Opener>} the keys; L{Deadlines<twisted_mux.engine.deadlines.Deadlines>} all times.  The
session owns the table and the control frames, and is the only one to make,
close and forget streams.

B{Re-entrancy.}  Handlers are called from L{receive}, L{settle}, L{turn},
L{tick}, L{lost} and L{abort}, and may call everything on the session and its
streams except those six.  Nothing that a handler calls makes another handler
be called before it returns, but for L{abort}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted_mux.engine.deadlines import Deadlines
from twisted_mux.engine.opener import Opener
from twisted_mux.engine.outbox import Outbox
from twisted_mux.engine.reader import Reader
from twisted_mux.engine.scheduler import IDLE
from twisted_mux.engine.states import Event, State
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import (
    MuxError,
    NotSupported,
    PeerComplaint,
    ProtocolError,
    SessionClosed,
)
from twisted_mux.wire.base import Codec, Credit, Key, Role

if TYPE_CHECKING:
    from twisted_mux.config import MuxConfig
    from twisted_mux.engine.handlers import SessionHandler, StreamHandler


@dataclass
class Counters:
    """
    What a session has seen so far.  Bytes are those on the carrier.
    """

    bytesReceived: int = 0
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
        self.over = False
        self.draining = False
        self.reading = True
        self._deadlines = Deadlines(self, config, now)
        self.liveness = self._deadlines.liveness
        self._reader = Reader(self, self.streams, config, now)
        self.codec = codec(
            role, self._reader, config.maxFrame or self.capabilities.customFrame
        )
        self._outbox = Outbox(self.codec)
        self._opener = Opener(self, self.codec.keys())
        self._unread = b""
        self._corked = False
        self._woken = False
        self._goneAway = False
        self._now = now
        self._deadlines.reschedule()

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
            rest = self.codec.receive(data)
        except ProtocolError as error:
            self.fail(error)
            return
        if self.over:
            return
        # In front of what a carrier may have delivered meanwhile.
        self._unread = rest + self._unread
        self._deadlines.midFrame(self.codec.midFrame, self._now)
        if self._unread or self._outbox.controlSize > self.config.controlBacklog:
            self.readOn()

    def turn(self, now: float) -> None:
        """
        Do what was put off.
        """
        self._now = self._reader.now = now
        self._woken = False
        self._corked = True
        if self._unread and self._withinBudgets:
            unread = self._unread
            self._unread = b""
            self._read(unread)
            self.readOn()
        self._reader.deliverHeld(self.config.turnBytes)
        self._corked = False
        if self._reader.hasDeliveries or (self._unread and self._withinBudgets):
            self._wake(False)

    def takeOutput(self, room: int) -> list[bytes]:
        """
        Take what is to be sent now: all control frames, then payload in the
        streams' turns, about C{room} bytes of both together.

        @return: the pieces, each C{bytes}, in order; the header and the
            payload of a frame are two.  None of them are empty.
        """
        blocked = not self.reading
        out = self._outbox.take(room)
        if blocked:
            self.readOn()
        return out

    @property
    def hasOutput(self) -> bool:
        """
        Is there (probably) anything to send?
        """
        return bool(self._outbox)

    def settle(self) -> None:
        """
        What L{takeOutput} took has been passed on: tell the streams that wait
        for that, one after the other.
        """
        self._corked = True
        self._outbox.settle()
        self._corked = False

    def tick(self, now: float) -> None:
        """
        See what is due.  Call it at the time given to
        C{SessionHandler.tickAt}; earlier or later does no harm.
        """
        if self.over:
            return
        self._now = self._reader.now = now
        try:
            self._deadlines.check(now)
        except ProtocolError as error:
            self.fail(error)

    def pauseWriting(self, now: float) -> None:
        """
        The carrier takes no more for now.
        """
        self._deadlines.pauseWriting(now)

    def resumeWriting(self) -> None:
        """
        The carrier takes more.
        """
        self._deadlines.resumeWriting()

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
        return self._opener.mayOpen

    @property
    def takesStreams(self) -> bool:
        """
        Would L{openStream} make one now, and be heard?
        """
        opener = self._opener
        return not (self.over or self.draining or opener.peerLeft or opener.exhausted)

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
        key = self._opener.takeKey(name, key)
        frame = self.codec.encodeOpen(key, self._reader.window, name)
        self._opener.opened()
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
            self._deadlines.opened(stream, self._now)
        self.control(frame)
        return stream

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

        @return: the value that C{SessionHandler.pongReceived} will be called
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
        self._deadlines.reschedule()
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
            self._deadlines.drainBy(now + seconds)
        if not self.draining:
            self.draining = True
            if self.config.goAway == "first":
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
        return self.describeKey(stream.key)

    def describeKey(self, key: Key) -> str:
        """
        How messages call the stream with a key.
        """
        if self.capabilities.addressed:
            return "{}:{}".format(*self.codec.addressOfKey(key))
        return str(key)

    @property
    def inbound(self) -> int:
        """
        How many of the streams the peer opened.
        """
        return len(self.streams) - self._opener.live

    @property
    def bytesSent(self) -> int:
        """
        Bytes taken to be sent on the carrier so far.
        """
        return self._outbox.bytesTaken

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
            self._outbox.control(frame)
            if not self._corked:
                self._wake(False)

    def ready(self, stream: Stream) -> None:
        """
        A stream that is in no queue has something to send.
        """
        self._outbox.scheduler.add(stream)
        if not self._corked:
            self._wake(False)

    def unblocked(self, stream: Stream) -> None:
        """
        A stream that is in no queue has got credit for what it has to send.
        """
        self._outbox.scheduler.addBusy(stream)
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
        within = self._withinBudgets
        self.reading = within and not self._unread and not self.over
        if within and self._unread and not self._corked:
            self._wake(False)

    @property
    def _withinBudgets(self) -> bool:
        """
        Can more be received, as far as what waits on this side goes?
        """
        config = self.config
        return (
            self._reader.held < (config.receiveBudget or 0)
            and self._outbox.controlSize <= config.controlBacklog
        )

    def endSent(self, stream: Stream) -> bytes:
        """
        A stream's end is about to be taken.

        @return: the frame.
        """
        stream.advance(Event.SEND_END)
        if stream.state is State.CLOSED:
            self.remove(stream)
        elif stream.handler is not None:
            self._deadlines.halfClosed(stream, self._now)
        return self.codec.encodeEnd(stream.key)

    def left(self, stream: Stream) -> None:
        """
        A stream's owner has done with it.
        """
        self._reader.dropHeld(stream)
        if stream.state is not State.CLOSED:
            self._deadlines.lingers(stream, self._now)
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
            if stream.turn == IDLE:
                self.ready(stream)
        self._deadlines.lingers(stream, self._now)
        self._reader.returnCredit(stream)

    def lose(self, stream: Stream, error: MuxError) -> None:
        """
        Drop a stream because of what its peer did, and tell its owner.
        """
        handler = stream.handler
        stream.handler = None
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
        stream.handler = None
        self.remove(stream)

    def remove(self, stream: Stream) -> None:
        """
        Take a stream whose both directions have ended from the table.
        """
        del self.streams[stream.key]
        self._reader.forget(stream)
        if not stream.inbound:
            self._opener.live -= 1
            if not stream.acknowledged and self.capabilities.ack:
                self._settled(stream)
        self._deadlines.forget(stream)
        if self.draining and not self.streams and not self._corked:
            self._wake(False)

    def giveUp(self, stream: Stream) -> None:
        """
        A stream that nobody here uses has not been ended by its peer.
        """
        if self.capabilities.reset:
            self.dropped(stream)
        else:
            self.close(stream, Event.LOSE)

    def probe(self) -> None:
        """
        Send a keep-alive frame, if the wire has one.
        """
        if self.capabilities.ping:
            self.measure()
        elif self.capabilities.probe:
            self.control(self.codec.encodeProbe())

    def readerIsSlow(self, stream: Stream) -> None:
        """
        A stream without credit holds more than its window.
        """
        if self.config.slowReader == "reset":
            self._deadlines.readerIsSlow(stream, self._now)

    # What the reader has read.

    def openedByPeer(self, key: Key, sendCredit: int, name: bytes) -> None:
        """
        The peer opens a stream that is not open yet.
        """
        if self.draining or self.inbound >= self.config.maxStreams:
            self._refuse(key)
            return
        reader = self._reader
        stream = Stream(
            self, key, name, True, reader.initialReceive, reader.lowWater, sendCredit
        )
        self.streams[key] = stream
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
        self._settled(stream)
        if stream.handler is not None:
            stream.handler.streamAccepted()

    def _settled(self, stream: Stream) -> None:
        self._deadlines.acknowledged(stream)
        if self._opener.acknowledged() and not self.over:
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
        if self._opener.peerLeft:
            self._reader.idleReceived()
            return
        self._opener.peerLeft = True
        if code != self.codec.goAwayCodes["normal"]:
            # Some peers (rust-yamux) say so and go on; this is the end.
            error = PeerComplaint(self.codec.describeCode(code))
            self._end(error)
            self.handler.sessionEnded(error)
            return
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
        self._outbox.clear()
        self._deadlines.clear()
        for stream in streams:
            handler = stream.handler
            stream.handler = None
            stream.flowing = stream.endWaits = False
            stream.advance(Event.LOSE)
            stream.discardOutput()
            self._reader.held -= stream.dropHeld()
            if handler is not None:
                handler.streamLost(error)
