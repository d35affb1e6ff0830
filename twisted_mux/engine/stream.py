"""
One stream: what it has to send, what it may send and receive, who reads it.

A L{Stream} is changed by its owner (through the methods below), by the
session's reading side (L{twisted_mux.engine.session}) and by the scheduler
(L{twisted_mux.engine.scheduler}); the attributes that those two use for every
frame are public for that reason, and for no other.

There may be many of them, so they have slots, no lists until one is needed, and
no window objects.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from twisted_mux.engine.credit import NEVER, UNBOUNDED, Tuner
from twisted_mux.engine.scheduler import IDLE, SPARSE
from twisted_mux.engine.states import (
    AFTER_SEND_END,
    CLOSED,
    LOCAL_ENDED,
    OPEN,
    Event,
    stateAfter,
)

if TYPE_CHECKING:
    from twisted_mux.engine.handlers import Receiver, StreamHandler
    from twisted_mux.engine.session import Session
    from twisted_mux.wire.base import Key

#: What L{Stream.take} gives.
Piece: TypeAlias = "bytes | memoryview"

# What a chunk costs to hold beside its bytes, at least.
CHUNK_CHARGE = 64
# Chunks that wait for a reader are joined up to this size.
JOIN_LIMIT = 4096


class Stream:
    """
    One stream of a session, from its opening until both directions have ended
    and nothing is left to read.

    @ivar key: what the wire protocol calls it.
    @ivar name: the name it was opened with, or C{b""}.
    @ivar inbound: did the peer open it?
    @ivar acknowledged: has the other side acknowledged it (or was it we who
        did)?
    @ivar receiver: who takes the payload; looked up at every delivery, and
        the owner's alone to set and to clear.
    @ivar handler: who is told of the rest; C{None} once it has left.
    @ivar state: which directions have ended on the wire.
    @ivar direct: payload is passed on the moment it comes if it leaves at least so
        much credit: C{lowWater}, or L{NEVER} while the reader pauses, while chunks
        wait for it, before it was started and after it has left.
    @ivar reading: does the reader want more?
    @ivar deaf: does the reader want nothing any more?
    @ivar held: bytes of payload that wait for the reader.
    @ivar backlogSize: what holding them costs, in bytes.
    @ivar buffered: bytes written and not yet sent.
    @ivar writable: would something that is written now still be sent?
    @ivar ahead: how many bytes it has sent ahead of the scheduler's ring since
        its turn there, where it has a place if that is not 0.
    @ivar offset: how much of the C{head} has been taken, in bytes.
    @ivar wantsEmpty: is the handler to be told when C{buffered} gets to 0?
    """

    __slots__ = (
        "_backlog",
        "_permitted",
        "_session",
        "acknowledged",
        "ahead",
        "backlogSize",
        "buffered",
        "deaf",
        "direct",
        "endWaits",
        "ending",
        "granted",
        "handler",
        "head",
        "held",
        "inbound",
        "key",
        "lowWater",
        "name",
        "offset",
        "queued",
        "reading",
        "receiveCredit",
        "receiver",
        "rest",
        "sendCredit",
        "state",
        "tuner",
        "turn",
        "wantsEmpty",
        "writable",
    )

    def __init__(
        self,
        session: Session,
        key: Key,
        name: bytes,
        inbound: bool,
        receiveCredit: int,
        lowWater: int,
        sendCredit: int,
    ) -> None:
        self._session = session
        self.key = key
        self.name = name
        self.inbound = inbound
        self.acknowledged = inbound
        self.receiver: Receiver | None = None
        self.handler: StreamHandler | None = None
        self.state = OPEN
        # Reading.
        self.direct = NEVER
        self.reading = True
        self.deaf = False
        self.queued = False
        self.endWaits = False
        self.receiveCredit = receiveCredit
        self.lowWater = lowWater
        self.granted = receiveCredit
        self.tuner: Tuner | None = None
        # No deque, which takes long to make: there are never many.
        self._backlog: list[bytes] | None = None
        self.backlogSize = 0
        self.held = 0
        # Writing.
        self.head = b""
        self.offset = 0
        self.rest: list[bytes] | deque[bytes] | None = None
        self.buffered = 0
        self.sendCredit = sendCredit
        self._permitted = sendCredit
        self.turn = IDLE
        self.ahead = 0
        self.ending = False
        self.wantsEmpty = False
        self.writable = True

    # What the owner calls.

    @property
    def bytesReceived(self) -> int:
        """
        How much payload has arrived.
        """
        return self.granted - self.receiveCredit

    @property
    def bytesSent(self) -> int:
        """
        How much payload has been taken to be sent.
        """
        return self._permitted - self.sendCredit

    def moved(self) -> int:
        """
        How much payload has arrived and been taken, together.
        """
        return self.granted - self.receiveCredit + self._permitted - self.sendCredit

    @property
    def receiveWindow(self) -> int:
        """
        How many bytes the peer may send that the reader has not taken, as of
        the last grant.
        """
        return self.tuner.window if self.tuner is not None else self.granted

    @property
    def flowing(self) -> bool:
        """
        May payload be passed on the moment it comes?
        """
        return self.direct != NEVER

    @property
    def waiting(self) -> bool:
        """
        Does something wait for the reader?
        """
        return self.endWaits or self.backlogSize > 0

    @property
    def gone(self) -> bool:
        """
        Have both directions ended?
        """
        return self.state is CLOSED

    def write(self, data: bytes) -> None:
        """
        Send C{data}, when it is this stream's turn and there is credit.  It is
        dropped without a word when the stream is not L{writable}.

        Nothing is delivered, and nobody is called back, from within.
        """
        if not data:
            return
        buffered = self.buffered
        if buffered:
            # So it is writable.
            rest = self.rest
            if rest is None:
                # Not a deque, which takes several times as long to make, before
                # one is needed: mostly all goes out at once.
                self.rest = [data]
            else:
                rest.append(data)
            self.buffered = buffered + len(data)
        elif self.writable:
            self.head = data
            self.buffered = len(data)
            if self.turn == IDLE:
                # Session.ready, without a call: this is done for every write.
                session = self._session
                self.turn = SPARSE
                session.sparse.append(self)
                if not session.corked:
                    session.wakeUp()

    def endWriting(self) -> None:
        """
        End our direction behind what was written.  C{writingEnded} follows
        when the end has been taken to be sent.  A second call does nothing.
        """
        if self.ending or not self.writable:
            return
        self.ending = True
        if self.turn == IDLE and (not self.buffered or self.usableCredit() > 0):
            self._session.ready(self)

    def holdEnd(self) -> None:
        """
        Not yet, after all: what L{endWriting} asked for, if it has not been
        taken.  The end of a stream that was reset is not called back.
        """
        if self.writable:
            self.ending = False

    def pauseReading(self) -> None:
        """
        Deliver nothing more until L{resumeReading}; the end waits too.
        """
        self.reading = False
        self.direct = NEVER

    def resumeReading(self) -> None:
        """
        Deliver again: what waits in the session's next turn, and never from
        within this call.
        """
        if self.reading or self.deaf:
            return
        self.reading = True
        if self.handler is None:
            return
        if self.backlogSize or self.endWaits:
            self._session.deliverLater(self)
        elif not self.queued:
            self.flow()

    def flow(self) -> None:
        """
        Nothing waits for the reader: from now on payload is passed on the moment it
        comes, if there is still some to come.
        """
        if self.state is OPEN or self.state is LOCAL_ENDED:
            self.direct = self.lowWater

    def stopReading(self) -> None:
        """
        Deliver nothing any more: what waits and what still comes is dropped, and
        the peer gets no more credit for it.  What was written is still sent.
        """
        self.deaf = True
        self.reading = False
        self.direct = NEVER
        if self.backlogSize:
            self._session.dropHeld(self)

    def unread(self, data: bytes) -> None:
        """
        Put back C{data}, the rest of what the reader was given last: whoever is
        the C{receiver} by then gets it in a later turn, before what came after
        it.  With nothing to put back, what comes is for a later turn as well.
        To be called from within the delivery only.
        """
        self._session.unread(self, data)

    def leave(self) -> None:
        """
        The owner has done with the stream; it is told nothing more.  What
        still comes from the peer is dropped.  If our direction has not ended,
        what is still to be sent of it is sent, then its end.
        """
        if self.handler is None:
            return
        if self.writable and not self.ending:
            self.endWriting()
        self.handler = None
        self.direct = NEVER
        self.wantsEmpty = False
        self._session.table.left(self)

    def reset(self) -> None:
        """
        Drop the stream at once, with all that is still to be sent or read;
        the owner is told nothing more.  On a wire without a reset our
        direction is ended, and what still comes is dropped.
        """
        self.handler = None
        self.direct = NEVER
        self._session.table.drop(self)

    # What the scheduler calls.

    def usableCredit(self) -> int:
        """
        How many bytes may be sent, after the silent grant of a wire that has
        no credit.
        """
        if self.sendCredit < self.buffered and self._session.unbounded:
            self._permitted += UNBOUNDED - self.sendCredit
            self.sendCredit = UNBOUNDED
        return self.sendCredit

    def take(self, length: int, out: list[Piece]) -> None:
        """
        Append the next C{length} bytes, of which there are at least as many,
        to C{out}, in pieces.  Large parts of a chunk are views of it, so that
        nothing is copied before all is joined.  (All that there is the scheduler
        takes itself, if nothing of the C{head} has been taken.)
        """
        self.buffered -= length
        rest = self.rest
        if rest is not None and not isinstance(rest, deque):
            rest = self.rest = deque(rest)
        while length:
            head = self.head
            begin = self.offset
            end = min(begin + length, len(head))
            length -= end - begin
            if end - begin > JOIN_LIMIT:
                out.append(memoryview(head)[begin:end])
            else:
                out.append(head[begin:end])
            if end < len(head):
                self.offset = end
            else:
                self.offset = 0
                self.head = rest.popleft() if rest else b""
        if not rest:
            self.rest = None
            if self.offset and self.buffered <= JOIN_LIMIT:
                # What is left may have to wait, and should not hold all the rest.
                self.head = self.head[self.offset :]
                self.offset = 0

    def takeEnd(self) -> bytes:
        """
        The frame that ends our direction, which has ended now.
        """
        self.ending = False
        self.writable = False
        session = self._session
        self.state = state = AFTER_SEND_END[self.state]
        if state is CLOSED:
            session.table.remove(self)
        elif session.table.limitsHalfClosed:
            session.table.halfClosed(self)
        return session.codec.encodeEnd(self.key)

    # What the session calls.

    def advance(self, event: Event) -> bool:
        """
        Go to the state that C{event} leads to.

        @return: was it legal?
        """
        state = stateAfter((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def permit(self, credit: int) -> None:
        """
        Set the send credit to what it is now known to be.
        """
        self._permitted += credit - self.sendCredit
        self.sendCredit = credit

    def discardOutput(self) -> None:
        """
        Drop what was written and not taken; nothing more can be written.
        """
        self.writable = False
        self.head = b""
        self.offset = 0
        self.rest = None
        self.buffered = 0
        self.ending = False

    def hold(self, data: bytes) -> int:
        """
        Keep a chunk until the reader wants it.

        @return: what it costs, in bytes.
        """
        backlog = self._backlog
        cost = len(data)
        self.held += cost
        if backlog is None:
            self._backlog = [data]
            cost += CHUNK_CHARGE
        elif len(backlog[-1]) + cost <= JOIN_LIMIT:
            backlog[-1] += data
        else:
            backlog.append(data)
            cost += CHUNK_CHARGE
        self.backlogSize += cost
        return cost

    def holdFirst(self, data: bytes) -> int:
        """
        Keep a chunk in front of what is kept already.

        @return: what it costs, in bytes.
        """
        if self._backlog is None:
            self._backlog = []
        self._backlog.insert(0, data)
        cost = len(data) + CHUNK_CHARGE
        self.held += len(data)
        self.backlogSize += cost
        return cost

    def nextHeld(self) -> bytes:
        """
        The next chunk that was kept.  There has to be one: C{backlogSize} is not 0.
        """
        backlog = self._backlog
        assert backlog
        data = backlog.pop(0)
        if backlog:
            self.held -= len(data)
            self.backlogSize -= len(data) + CHUNK_CHARGE
        else:
            self.held = 0
            self.backlogSize = 0
            self._backlog = None
        return data

    def dropHeld(self) -> int:
        """
        Drop all that was kept.

        @return: what it cost, in bytes.
        """
        size = self.backlogSize
        self._backlog = None
        self.backlogSize = 0
        self.held = 0
        return size
