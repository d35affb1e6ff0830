"""
The streams of a session, from their opening until they are forgotten.

Nobody else makes streams, and nobody else takes them from the table.  A stream
leaves it when both its directions have ended, however that came about; what its
reader has not read by then stays with the stream.

B{A stream whose owner has left} stays in the table until its peer has ended it
too, since its key is not free before that.  Data that still comes for it is
answered with a reset, as by TCP, or, on a wire without one, dropped while its
credit is returned, so that the peer can finish.  If nothing moves for
C{lingerTimeout}, it is given up.

B{A stream that is refused} never gets into the table.  Where there is no reset its
peer may miss the end that says so: go-smux writes its open before it knows the
stream itself, and skips what comes in between.  Data that comes for the stream later
shows that the peer knows it by now, so that the end is sent again then.

B{A stream is accepted} within its open as a rule: there is no queue of streams
that nobody has asked for.  But its owner may have something to do first (agree
upon a name, connect to somewhere else), and says so (L{StreamTable.defer});
these are the ones that C{maxPending} bounds.

B{Time} is known in turns only, so the time limits of what an owner asks for
begin in the turn that follows (L{StreamTable.begin}).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted_mux.engine.credit import NEVER
from twisted_mux.engine.opener import Opener
from twisted_mux.engine.scheduler import IDLE
from twisted_mux.engine.states import (
    CLOSED,
    LOCAL_ENDED,
    LOSE,
    OPEN,
    RECEIVE_RESET,
    REMOTE_ENDED,
    SEND_RESET,
    Event,
)
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import LimitExceeded, ProtocolError

if TYPE_CHECKING:
    from twisted_mux.engine.deadlines import Deadlines
    from twisted_mux.engine.handlers import StreamHandler
    from twisted_mux.engine.reader import Reader
    from twisted_mux.engine.session import Session
    from twisted_mux.errors import MuxError
    from twisted_mux.wire.base import Key

# Seconds after which it may be said again that a limit is reached.
_TELL_EVERY = 60.0


class StreamTable:
    """
    The streams of one session that have not ended in both directions.

    @ivar streams: the streams by their keys; to be looked at only.
    @ivar opener: what this side may open.
    @ivar later: the streams that L{begin} has something to do for.
    @ivar limitsHalfClosed: is there a time for streams that are half-closed?
    @ivar missable: keys of streams that were refused by an end, until that was sent
        again or was not needed, each with what had been sent before it.
    @ivar pending: the streams of the peer's that nobody has accepted yet (see
        L{StreamTable.defer}).
    @ivar owed: keys of streams that are not here (any more), but that the peer
        has not ended yet, on a wire where its end could be taken for an open.
    """

    __slots__ = (
        "_deadlines",
        "_ended",
        "_reader",
        "_session",
        "_told",
        "later",
        "limitsHalfClosed",
        "missable",
        "opener",
        "owed",
        "pending",
        "streams",
    )

    def __init__(
        self,
        session: Session,
        streams: dict[Key, Stream],
        reader: Reader,
        deadlines: Deadlines,
    ) -> None:
        self._session = session
        self._reader = reader
        self._deadlines = deadlines
        self.streams = streams
        # Streams that have ended in both directions, and that their owners
        # have not left yet.
        self._ended: dict[Stream, None] = {}
        self.limitsHalfClosed = deadlines.limitsHalfClosed
        # Streams to which something happened that has a time limit.
        self.later: list[Stream] = []
        self.owed: dict[Key, None] = {}
        self.missable: dict[Key, int] = {}
        self.pending: set[Stream] = set()
        # When it was last said that a limit is reached.
        self._told: dict[str, float] = {}
        self.opener = Opener(session, session.codec.keys(), deadlines)

    @property
    def inbound(self) -> int:
        """
        How many of the streams the peer opened.
        """
        return len(self.streams) - self.opener.live

    # Times.

    def _beginLater(self, stream: Stream) -> None:
        # A request of the owner's may come long after the last turn, and only
        # turns know what time it is.
        self.later.append(stream)
        self._session.wakeUp()

    def anyLater(self) -> bool:
        """
        Has L{begin} anything to do, now that ends have been sent?
        """
        self.later = [stream for stream in self.later if stream.state is not CLOSED]
        return bool(self.later)

    def begin(self, now: float) -> None:
        """
        Begin the times of the streams that were opened, or half-closed, or left
        since the last call.
        """
        later = self.later
        if not later:
            return
        self.later = []
        deadlines = self._deadlines
        for stream in later:
            if stream.state is CLOSED:
                continue
            if deadlines.limitsOpening and not stream.acknowledged:
                deadlines.opened(stream, now)
            if stream.handler is None:
                self._linger(stream, now)
            elif self.limitsHalfClosed and stream.state is not OPEN:
                deadlines.halfClosed(stream, now)

    def _linger(self, stream: Stream, now: float) -> None:
        if stream.state is LOCAL_ENDED:
            self._deadlines.awaitsEnd(stream, now)
        else:
            self._deadlines.lingers(stream, now)
        # A peer that waits for credit has to find out that nobody reads, or,
        # without a reset, be able to finish.
        if stream.receiveCredit < stream.lowWater:
            self._reader.returnCredit(stream)

    # Opening.

    def open(self, handler: StreamHandler, name: bytes, key: Key | None) -> Stream:
        """
        See L{Session.openStream<twisted_mux.engine.session.Session>}.
        """
        session = self._session
        opener = self.opener
        reader = self._reader
        key = opener.takeKey(name, key)
        frame = session.codec.encodeOpen(key, reader.window, name)
        opener.opened()
        stream = self.streams[key] = Stream(
            session,
            key,
            name,
            False,
            reader.initialReceive,
            reader.lowWater,
            reader.initialSend,
        )
        stream.handler = handler
        stream.queued = True
        session.counters.streamsOpened += 1
        if self._deadlines.limitsOpening:
            self.later.append(stream)
        session.control(frame)
        return stream

    def openedByPeer(self, key: Key, sendCredit: int, name: bytes) -> None:
        """
        The peer opens a stream that is not open yet.
        """
        session = self._session
        config = session.config
        if session.draining:
            self._refuse(key)
            return
        if len(self.streams) - self.opener.live >= config.maxStreams:
            self._full(key, "maxStreams", config.maxStreams, "are open")
            return
        if config.maxPending and len(self.pending) >= config.maxPending:
            self._full(key, "maxPending", config.maxPending, "wait to be accepted")
            return
        reader = self._reader
        stream = self.streams[key] = Stream(
            session,
            key,
            name,
            True,
            reader.initialReceive,
            reader.lowWater,
            sendCredit,
        )
        reader.deliverLater(stream)
        session.handler.streamOpened(stream)
        if stream.handler is None and stream.state is OPEN and not stream.ending:
            session.counters.streamsRefused += 1
            reader.chargeReset()
            stream.reset()
            self._mayMiss(key)
        elif stream.state is not CLOSED:
            session.counters.streamsAccepted += 1
            session.control(session.codec.encodeAccept(key, reader.window))

    def defer(self, stream: Stream) -> None:
        """
        The owner of a stream that the peer has opened is not ready for it yet.
        """
        if stream.inbound and stream.handler is not None and not self._session.over:
            self.pending.add(stream)

    def _full(self, key: Key, limit: str, figure: int, what: str) -> None:
        now = self._session.now
        if now - self._told.get(limit, -_TELL_EVERY) >= _TELL_EVERY:
            self._told[limit] = now
            name = self._session.describeKey(key)
            text = f"stream {name} is refused: {figure} streams of the peer's {what}"
            self._session.handler.limitReached(LimitExceeded(limit, figure, text))
        self._refuse(key)

    def _refuse(self, key: Key) -> None:
        session = self._session
        session.counters.streamsRefused += 1
        self._reader.chargeReset()
        self._reader.recent.add(key)
        codec = session.codec
        # Without a reset the peer sees a stream that ends at once.
        reset = session.capabilities.reset
        session.control(codec.encodeReset(key) if reset else codec.encodeEnd(key))
        self._oweEnd(key)
        self._mayMiss(key)

    def _oweEnd(self, key: Key) -> None:
        if self._session.capabilities.addressed:
            self.owed[key] = None
            self._forgetOldest(self.owed)

    def _forgetOldest(self, keys: dict[Key, Any]) -> None:
        if len(keys) > self._session.config.rememberedStreams:
            del keys[next(iter(keys))]

    def _mayMiss(self, key: Key) -> None:
        session = self._session
        # Where an end is an open as well it must not be sent twice.
        if not (session.capabilities.reset or session.capabilities.addressed):
            self.missable[key] = session.bytesSent
            self._forgetOldest(self.missable)

    def discarded(self, stream: Stream) -> None:
        """
        Data came for a stream that its owner has left, and its peer can't be told.
        """
        self._deadlines.goesOn(stream, self._session.now)
        self.repeatEnd(stream.key)

    def repeatEnd(self, key: Key) -> None:
        """
        Data came for a stream that this side has ended: if it was refused, end it
        once more, unless that end has not been sent when the peer wrote the data.
        """
        session = self._session
        before = self.missable.pop(key, None)
        if before is not None and session.bytesSent > before:
            session.control(session.codec.encodeEnd(key))

    def settleEnd(self, key: Key) -> bool:
        """
        The peer opens a stream, or ends one that was refused or given up.

        @return: is it an end?
        """
        if key not in self.owed:
            return False
        del self.owed[key]
        return True

    # Ending.

    def halfClosed(self, stream: Stream) -> None:
        """
        One direction of a stream has ended, and there is a time for the other.
        """
        if stream.handler is not None:
            self._beginLater(stream)

    def left(self, stream: Stream) -> None:
        """
        A stream's owner has done with it.
        """
        if stream.backlogSize:
            self._reader.dropHeld(stream)
        if self.pending:
            self.pending.discard(stream)
        if stream.state is CLOSED:
            self._ended.pop(stream, None)
            return
        session = self._session
        if not session.corked:
            self._beginLater(stream)
        elif stream.state is LOCAL_ENDED:
            self._linger(stream, session.now)
        else:
            # Mostly its end goes out, and that was all.
            self.later.append(stream)

    def drop(self, stream: Stream) -> None:
        """
        Reset a stream, as far as the wire can; its owner is told nothing.
        """
        session = self._session
        self._ended.pop(stream, None)
        self.pending.discard(stream)
        self._reader.dropHeld(stream)
        if stream.state is CLOSED or session.over:
            stream.discardOutput()
            return
        if session.capabilities.reset:
            self.close(stream, SEND_RESET)
            session.counters.resetsSent += 1
            session.control(session.codec.encodeReset(stream.key))
            return
        unended = stream.writable or stream.ending
        stream.discardOutput()
        if unended:
            stream.ending = True
            if stream.turn == IDLE:
                session.ready(stream)
        self._beginLater(stream)

    def refuse(self, stream: Stream, error: MuxError) -> None:
        """
        Drop a stream because its peer broke a rule of the application's, and
        tell its owner.  It counts as a reset that the peer has caused; with one
        too many the session ends.
        """
        try:
            self._reader.chargeReset()
        except ProtocolError as excess:
            self._session.fail(excess)
        else:
            self.lose(stream, error)

    def lose(self, stream: Stream, error: MuxError) -> None:
        """
        Drop a stream because of what its peer did, and tell its owner.
        """
        handler = stream.handler
        stream.handler = None
        stream.direct = NEVER
        self.drop(stream)
        if handler is not None:
            handler.streamLost(error)

    def giveUp(self, stream: Stream) -> None:
        """
        A stream that nobody here uses has not been ended by its peer.
        """
        if self._session.capabilities.reset:
            self.drop(stream)
            return
        if stream.writable or stream.ending:
            # What could not be sent is lost, but the peer is not to wait for it.
            self._session.control(self._session.codec.encodeEnd(stream.key))
        owed = stream.state is not REMOTE_ENDED
        self.close(stream, LOSE)
        if owed:
            self._oweEnd(stream.key)

    def close(self, stream: Stream, event: Event) -> None:
        """
        Both directions of a stream end at once; nobody is told.
        """
        stream.advance(event)
        if event is RECEIVE_RESET:
            self._session.counters.resetsReceived += 1
            if not (stream.acknowledged or stream.bytesReceived):
                self.opener.refused += 1
        self._reader.dropHeld(stream)
        stream.discardOutput()
        stream.direct = NEVER
        stream.endWaits = False
        stream.handler = None
        self.remove(stream)

    def remove(self, stream: Stream) -> None:
        """
        Take a stream whose both directions have ended from the table.
        """
        session = self._session
        del self.streams[stream.key]
        if self.pending:
            self.pending.discard(stream)
        self._reader.recent.add(stream.key)
        if stream.tuner is not None:
            self._reader.forget(stream.tuner)
        if not stream.inbound:
            self.opener.live -= 1
            if not stream.acknowledged and session.capabilities.ack:
                self.opener.ended(stream)
        self._deadlines.forget(stream)
        if stream.handler is not None:
            self._ended[stream] = None
        if session.draining and not self.streams:
            session.wakeUp()

    def clear(self, error: MuxError | None) -> None:
        """
        The session is over: every stream ends, and is told so.
        """
        streams = list(self.streams.values())
        self.streams.clear()
        self.pending.clear()
        self.opener.live = 0
        for stream in streams:
            handler = stream.handler
            stream.handler = None
            stream.direct = NEVER
            stream.endWaits = False
            stream.advance(LOSE)
            stream.discardOutput()
            self._reader.held -= stream.dropHeld()
            if handler is not None:
                handler.streamLost(error)
        for stream in list(self._ended):
            self.forsake(stream, error)

    def forsake(self, stream: Stream, error: MuxError | None = None) -> None:
        """
        Tell the owner of a stream that has ended in both directions that the
        session is over, unless the stream still has something for its reader:
        that was received, and is delivered however late the reader wants it.
        """
        if self._session.over and stream in self._ended and not stream.waiting:
            del self._ended[stream]
            handler = stream.handler
            stream.handler = None
            assert handler is not None, "whoever leaves is forgotten at once"
            handler.streamLost(error)
