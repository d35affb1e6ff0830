"""
One carrier being multiplexed: the table of streams, what is to be sent, and
when something is due.

B{Who drives it.}  A driver that owns the carrier and the clock
(L{twisted_mux.driver.Driver}, or thirty lines of anything else):

  - it passes what the carrier delivers to L{Session.receive}, as long as
    L{Session.reading} says so;
  - it takes what is to be sent with L{Session.takeOutput}, passes that on, then
    calls L{Session.settle}, until there is no more or the carrier is full; this
    right after one of the calls that say what time it is;
  - it calls L{Session.turn} soon after C{SessionHandler.wake}, from a fresh
    stack, and L{Session.tick} at the time of C{SessionHandler.tickAt};
  - it says when the carrier takes no more (L{Session.pauseWriting},
    L{Session.resumeWriting}) and when it is gone (L{Session.lost}).

C{now} is seconds on any clock that does not go backwards.

B{Who owns what.}  The codec owns the format; L{Reader
<twisted_mux.engine.reader.Reader>} the rules of receiving, and all that waits
for readers; L{Stream<twisted_mux.engine.stream.Stream>} its own two
directions; L{Outbox<twisted_mux.engine.outbox.Outbox>} the order of sending;
L{Deadlines<twisted_mux.engine.deadlines.Deadlines>} all times; and L{StreamTable
<twisted_mux.engine.table.StreamTable>} makes, closes and forgets streams.  The
session holds them together.

B{Re-entrancy.}  Handlers are called from L{receive}, L{settle}, L{turn},
L{tick}, L{lost} and L{abort}, and may call everything on the session and its
streams except those six.  Nothing that a handler calls makes another handler
be called before it returns, but for L{abort}.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted_mux.engine.deadlines import Deadlines
from twisted_mux.engine.outbox import Outbox
from twisted_mux.engine.reader import Reader
from twisted_mux.engine.scheduler import SPARSE
from twisted_mux.engine.table import StreamTable
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
    from twisted_mux.engine.stream import Piece, Stream


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
    @ivar table: what makes, closes and forgets streams.
    @ivar opener: what this side may open.
    @ivar outbox: what is to be sent, and how much of it has been taken.
    @ivar scheduler: whose turn it is to send.
    @ivar sparse: the scheduler's streams that had nothing to send before.
    @ivar corked: is something under way behind which the driver will look for
        output anyway?
    @ivar now: what time it was, in seconds, when the driver last said; while it is
        C{corked}, that is now.
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
        self.outbox = Outbox(self.codec)
        self.scheduler = self.outbox.scheduler
        self.sparse = self.scheduler.sparse
        self._busy = self.scheduler.busy
        self.table = StreamTable(self, self.streams, self._reader, self._deadlines)
        self.opener = self.table.opener
        self._budget = config.receiveBudget or 0
        self._unread = b""
        self._partial = 0
        self.corked = False
        self._woken = False
        self._goneAway = False
        self.now = now
        self._deadlines.reschedule()

    # What a driver calls.

    def receive(self, data: bytes, now: float) -> None:
        """
        The carrier delivered C{data}.
        """
        if self.over:
            return
        self.now = self.liveness.lastReceived = now
        self.counters.bytesReceived += len(data)
        if self._unread or self.corked:
            # There is more to come from a turn, or a carrier delivered while
            # a handler was being called.
            self._unread += data
            self._wake(False)
            return
        self.corked = True
        self._read(data)
        if self.table.later and (self._deadlines.writingPaused or not self.hasOutput()):
            self.table.begin(now)
        self.corked = False
        if self._reader.deliverable or self._unread:
            self._wake(True)

    def _read(self, data: bytes) -> None:
        try:
            rest = self.codec.receive(data)
        except ProtocolError as error:
            self.fail(error)
            return
        if self.over:
            return
        if rest:
            # In front of what a carrier may have delivered meanwhile.
            self._unread = rest + self._unread
        kept = self.codec.midFrame
        if kept or self._partial:
            self._partial = kept
            self._deadlines.midFrame(kept, len(data), self.now)
        if (
            self._unread
            or self._reader.held >= self._budget
            or self.outbox.controlSize > self.config.controlBacklog
        ):
            self.readOn()

    def turn(self, now: float) -> None:
        """
        Do what was put off.
        """
        self.now = now
        self._woken = False
        self.corked = True
        if self._unread and self._withinBudgets:
            unread = self._unread
            self._unread = b""
            self._read(unread)
            self.readOn()
        self._reader.deliverHeld(self.config.turnBytes)
        self.table.begin(now)
        self.corked = False
        if self._reader.deliverable or (self._unread and self._withinBudgets):
            self._wake(False)

    def takeOutput(self, room: int) -> list[Piece]:
        """
        Take what is to be sent now: all control frames, then payload in the
        streams' turns, about C{room} bytes of both together.

        @return: the pieces, in order; join them.
        """
        blocked = not self.reading
        out = self.outbox.take(room)
        if blocked:
            self.readOn()
        return out

    def hasOutput(self) -> bool:
        """
        Is there (probably) anything to send?
        """
        return bool(self.outbox.waiting or self.sparse or self._busy)

    def delivers(self) -> bool:
        """
        Does a reader that goes on get something in the next turn?
        """
        return bool(self._reader.deliverable)

    def settle(self) -> None:
        """
        What L{takeOutput} took has been passed on: tell the streams that wait
        for that, one after the other.
        """
        if self.outbox.done:
            # A carrier may take more while a chunk is being read.
            corked = self.corked
            self.corked = True
            self.outbox.settle()
            self.corked = corked
            if self._reader.deliverable or self._unread:
                # Somebody resumed, or the carrier delivered, meanwhile.
                self._wake(False)
        if self.table.later and self.table.anyLater():
            # Somebody left, before or meanwhile; only a turn knows the time.
            self._wake(False)

    def tick(self, now: float) -> None:
        """
        See what is due.  Call it at the time given to
        C{SessionHandler.tickAt}; earlier or later does no harm.
        """
        if self.over:
            return
        self.now = now
        try:
            self._deadlines.check(now)
        except ProtocolError as error:
            self.fail(error)

    def pauseWriting(self, now: float) -> None:
        """
        The carrier takes no more for now.
        """
        self.now = now
        self._deadlines.pauseWriting(now)

    def resumeWriting(self, now: float) -> None:
        """
        The carrier takes more.
        """
        self.now = now
        self._deadlines.resumeWriting()

    def lost(self, error: MuxError | None = None) -> None:
        """
        The carrier is gone.  What it had delivered, and what was just put off
        to a turn, goes to its readers first.  Does nothing if the session is
        over already.
        """
        if not self.over and not self.corked:
            self.corked = True
            while self._unread:
                unread = self._unread
                self._unread = b""
                self._read(unread)
            self._reader.deliverHeld(sys.maxsize)
            self.corked = False
        self.abort(error)

    def abort(self, error: MuxError | None = None) -> None:
        """
        Drop the session, with all that waits.  Does nothing if it is over
        already.
        """
        if not self.over:
            self._end(error)

    # What the application wants, by way of the driver.

    @property
    def takesStreams(self) -> bool:
        """
        Would L{openStream} make one now, and be heard?
        """
        opener = self.opener
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
        return self.table.open(handler, name, key)

    def start(self, stream: Stream) -> None:
        """
        Begin to deliver a stream's payload; it follows in a later turn.  Once
        for each stream that L{openStream} returned.
        """
        stream.queued = False
        if stream.handler is None:
            return
        if self.corked or stream.backlogSize or stream.endWaits:
            self.deliverLater(stream)
        elif stream.reading:
            stream.flow()

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
            self.ping(self.now)

    def drain(self, now: float, seconds: float) -> None:
        """
        Open and accept no more streams, let the live ones finish, then end.
        A second call can only make the time shorter.

        @param seconds: how long that may take; 0 is for ever.
        """
        if self.over:
            return
        if seconds:
            self._deadlines.drainIn(seconds, now)
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
            self._end(None)
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
        return self.codec.describeKey(key)

    @property
    def inbound(self) -> int:
        """
        How many of the streams the peer opened.
        """
        return self.table.inbound

    @property
    def bytesSent(self) -> int:
        """
        Bytes taken to be sent on the carrier so far.
        """
        return self.outbox.bytesTaken

    def overtook(self) -> bool:
        """
        Has a small message gone before others' bulk data, since the last call?
        """
        overtook = self.outbox.overtook
        self.outbox.overtook = False
        return overtook

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
            outbox = self.outbox
            outbox.waiting.append(frame)
            outbox.controlSize += len(frame)
            if not self.corked:
                self._wake(False)

    def ready(self, stream: Stream) -> None:
        """
        A stream that is in no queue has something to send.
        """
        stream.turn = SPARSE
        self.sparse.append(stream)
        if not self.corked:
            self._wake(False)

    def unblocked(self, stream: Stream) -> None:
        """
        A stream that is in no queue has got credit for what it has to send.
        """
        # Credit comes with a chunk, behind which the driver sends anyway.
        self.scheduler.addBusy(stream)

    def dropHeld(self, stream: Stream) -> None:
        """
        What waits for a stream's reader will not be wanted.
        """
        self._reader.dropHeld(stream)

    def deliverLater(self, stream: Stream) -> None:
        """
        A stream's reader wants what waits for it.
        """
        self._reader.deliverLater(stream)
        if not self.corked:
            self._wake(False)

    def wakeUp(self) -> None:
        """
        There is something to do: in a turn, unless the driver looks for it anyway.
        """
        if not self.corked:
            self._wake(False)

    def unread(self, stream: Stream, data: bytes) -> None:
        """
        A stream's reader gives back a part of what it was given.
        """
        self._reader.unread(stream, data)
        if not self.corked:
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
        if within and self._unread and not self.corked:
            self._wake(False)

    @property
    def _withinBudgets(self) -> bool:
        """
        Can more be received, as far as what waits on this side goes?
        """
        return (
            self._reader.held < self._budget
            and self.outbox.controlSize <= self.config.controlBacklog
        )

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
            self._deadlines.readerIsSlow(stream, self.now)

    def readerCaughtUp(self, stream: Stream) -> None:
        """
        A stream without credit holds no more than its window (any more).
        """
        self._deadlines.readerCaughtUp(stream)

    def pong(self, value: int) -> None:
        """
        The peer answers a ping.
        """
        seconds = self.liveness.pong(value, self.now)
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
        if code != self.codec.goAwayCodes["normal"]:
            # Some peers (rust-yamux) say so and go on; this is the end.
            error = PeerComplaint(self.codec.describeCode(code))
            self._end(error)
            self.handler.sessionEnded(error)
        elif self.opener.peerLeft:
            self._reader.idleReceived()
        else:
            self.opener.peerLeft = True
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
        self.outbox.clear()
        self._deadlines.clear()
        self.table.clear(error)
