"""
The carrier's transport, as its session uses it: writing and knowing when to wait,
reading or not, closing.

L{Carrier} makes do with any transport, towards which the session is a push
producer, as any protocol may be.  L{SocketCarrier} knows more of Twisted's own TCP
and Unix connections.

B{Writing at once.}  Such a connection sends what is written to it in the reactor's
next round, when that has found the socket writable.  L{SocketCarrier} sends it
there and then.  An answer to what has just arrived saves a round of the reactor
and two changes of what that waits for, and bulk data goes on until the kernel
takes no more.  Nothing private is needed:

  - the socket (C{getHandle}) may be written to whenever nothing waits in the
    connection's buffer, which is what the connection itself does then
    (C{writeSomeData}, that has to cut what it is given first);
  - a I{pull} producer is told exactly when that is so: it is asked for more each
    time that the buffer gets empty.

So the connection gets only what the kernel does not take, and nothing more before
that is gone.  What goes wrong with the socket is left to it as well: data that
could not be sent is written to it, and it finds out by itself.

B{What the kernel holds} can't be overtaken any more, so it is given little
(C{TCP_NOTSENT_LOWAT}): with a slow link behind it, what it holds is what the next
small message waits for.  But little is soon sent, and a process that is woken for
every bit of it spends its time on that.  So the kernel is given more when it gets
rid of what it has in less than L{_SHORT_BACKLOG}, and less again when that takes
L{_LONG_BACKLOG}.  A small message that goes before bulk data (L{Carrier.overtaken})
makes it less than either at once, for a while.  What is written in one call grows and
shrinks with it: half of what the kernel is given, so that the call costs little beside
the data.

B{A peer on the same machine} may be waiting for this very processor, with the small
message already there: what it has not read is no longer unsent, so nothing holds the
sender up until a window is full or its time slice is over.  So, as long as small messages
go before bulk data, it lets others have a turn after each batch.  That is one system
call, which returns at once if nobody waits.  On one core the slowest messages are four
times as fast, and bulk data beside them loses a quarter of its rate to the changes of
process; on two it loses a tenth at most.

B{Reading} is done in larger portions while chunks come in that are as large as
they can be.  Small messages don't pay for a large buffer then.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.interfaces import (
    IConsumer,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.tcp import Connection
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Piece

_T = TypeVar("_T")

# How much unsent data the kernel is given, in bytes, where the carrier is TCP
# and the platform can.
_LEAST_BACKLOG = 128 * 1024
_MOST_BACKLOG = 1024 * 1024
#: What is written at once, in bytes, about: what the buffer of a connection of
#: Twisted's holds before it pauses its producer.
BATCH = 64 * 1024
# And at most, where there is more room.
_MOST_BATCH = 256 * 1024
# Seconds: see above.
_SHORT_BACKLOG = 0.0005
_LONG_BACKLOG = 0.004
# For how many seconds a small message that went before bulk data makes others
# likely.
_MIXED = 0.1
# What is written in a turn then, in bytes, about, and what the kernel is given.
_MIXED_BURST = 32 * 1024
_MIXED_BACKLOG = 64 * 1024
# Pieces that are larger than that, in bytes and on average, aren't joined.
_LARGE_PIECE = 4096
# What the system takes in one call (C{IOV_MAX} is 1024 nearly everywhere).
_MOST_PIECES = 512
# Lets another process have the processor, if one waits for it.
_yieldProcessor: Callable[[], object] = getattr(os, "sched_yield", lambda: None)
#: C{socket.TCP_NOTSENT_LOWAT}, which Python has from 3.12 on; Linux's number.
_NOTSENT_LOWAT = getattr(
    socket, "TCP_NOTSENT_LOWAT", 25 if hasattr(socket, "TCP_CORK") else None
)


class Carrier:
    """
    Any transport.

    @ivar reading: is what arrives wanted?
    @ivar full: has it got as much as it should, for now?
    @ivar burst: how many bytes, about, should be written to it in a turn.
    @ivar batch: how many bytes, about, should be written to it at once.
    @ivar fullChunk: a chunk of that size says that larger ones could be had,
        with L{readMore}.
    @ivar smallChunk: one that is smaller says that L{readLess} would do.
    """

    fullChunk: float = float("inf")
    smallChunk = 0

    def __init__(
        self, transport: ITransport, producer: IPushProducer, turnBytes: int
    ) -> None:
        """
        @param producer: the session, which is told when the carrier is full, and
            when it takes more.
        @param turnBytes: what L{burst} is at most.
        """
        self.burst = self._turnBytes = turnBytes
        self.batch = BATCH
        self._transport = cast(Any, transport)
        self._producer = producer
        self.reading = True
        self.full = False
        if ITCPTransport.providedBy(transport):
            # Frames are made to be sent at once.
            self._transport.setTcpNoDelay(True)

    def start(self) -> None:
        """
        Begin to tell the producer.
        """
        cast(IConsumer, self._transport).registerProducer(self._producer, True)

    def write(self, pieces: list[Piece], size: int) -> None:
        """
        Send what is C{size} bytes in pieces.
        """
        # Joined here, once: a transport joins again only what comes in several
        # writes.
        self._transport.write(b"".join(pieces))

    def overtaken(self, now: float) -> None:
        """
        A small message has gone before bulk data.
        """

    def read(self, wanted: bool) -> None:
        """
        Deliver what arrives, or don't.
        """
        self.reading = wanted
        if wanted:
            self._transport.resumeProducing()
        else:
            self._transport.pauseProducing()

    def readMore(self) -> None:
        """
        Chunks are as large as they can be.
        """

    def readLess(self) -> None:
        """
        Chunks aren't large any more.
        """

    def close(self) -> None:
        """
        Close it behind what was written.
        """
        if not self.reading:
            # It has to notice that the peer closes, too.
            self._transport.resumeProducing()
        # TLS would wait for its producer.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def abort(self) -> None:
        """
        Close it at once.
        """
        abort = getattr(self._transport, "abortConnection", None)
        if abort is not None:
            abort()
        else:
            self._transport.unregisterProducer()
            self._transport.loseConnection()


@implementer(IPullProducer)
class SocketCarrier(Carrier):
    """
    One of Twisted's own connections over a socket, without TLS.
    """

    def __init__(
        self,
        transport: Connection,
        producer: IPushProducer,
        turnBytes: int,
        readSize: int,
        seconds: Callable[[], float],
    ) -> None:
        """
        @param readSize: bytes to be read at once, at most, in bulk.
        @param seconds: the time.
        """
        super().__init__(cast(ITransport, transport), producer, turnBytes)
        self._seconds = seconds
        self._plainSize = transport.bufferSize
        self._readSize = readSize
        self._measureReading()
        # What somebody else has written says nothing of how fast the kernel is.
        self._fullAt = float("-inf")
        self._mixedUntil = 0.0
        self._near = _isNear(transport.getHandle())
        self._tunes = ITCPTransport.providedBy(transport) and _NOTSENT_LOWAT is not None
        self._allow(_LEAST_BACKLOG)

    # Writing.

    def start(self) -> None:
        """
        Begin to tell the producer.
        """
        cast(IConsumer, self._transport).registerProducer(self, False)
        # Something of whoever had the connection before may wait in its buffer.
        # It tells when that is empty, in the reactor's next round if it is.
        self.full = True
        self._transport.startWriting()

    def write(self, pieces: list[Piece], size: int) -> None:
        """
        Send what the kernel takes now, and the rest when it can.
        """
        transport = self._transport
        data = None
        if not self.full and transport.connected and not transport.TLS:
            if size > _LARGE_PIECE * len(pieces) and len(pieces) <= _MOST_PIECES:
                sent = _taken(transport.getHandle().sendmsg, pieces)
            else:
                data = b"".join(pieces)
                sent = _taken(transport.getHandle().send, data)
            if sent == size:
                if size >= self.batch < BATCH:
                    self._seeMixed()
                    if self._near:
                        _yieldProcessor()
                return
            if data is None:
                data = b"".join(pieces)
            data = data[sent:]
        else:
            data = b"".join(pieces)
        if not self.full:
            self.full = True
            self._fullAt = self._seconds()
            self._producer.pauseProducing()
        transport.write(data)

    def overtaken(self, now: float) -> None:
        """
        A small message has gone before bulk data.
        """
        if now >= self._mixedUntil:
            self.burst = min(self._turnBytes, _MIXED_BURST)
            self._allow(_MIXED_BACKLOG)
        self._mixedUntil = now + _MIXED

    def _seeMixed(self) -> None:
        """
        See whether small messages that go before bulk data are likely still.
        """
        if self._seconds() >= self._mixedUntil:
            self.burst = self._turnBytes
            self._allow(_LEAST_BACKLOG)

    def resumeProducing(self) -> None:
        """
        The connection's buffer is empty.
        """
        if self.full:
            self.full = False
            now = self._seconds()
            if now >= self._mixedUntil:
                self.burst = self._turnBytes
                self._seeBacklog(now - self._fullAt)
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        The connection takes nothing more.
        """
        self.full = True
        self._producer.stopProducing()

    def abort(self) -> None:
        """
        Close it at once; nothing more is sent.
        """
        self.full = True
        super().abort()

    def _seeBacklog(self, took: float) -> None:
        """
        See whether the kernel should be given more, or less, after it took that
        many seconds until it could take more.
        """
        if took < _SHORT_BACKLOG and self._backlog < _MOST_BACKLOG:
            self._allow(self._backlog * 2)
        elif took > _LONG_BACKLOG and self._backlog > _LEAST_BACKLOG:
            self._allow(self._backlog // 2)

    def _allow(self, backlog: int) -> None:
        self._backlog = backlog
        self.batch = min(backlog // 2, _MOST_BATCH)
        if self._tunes:
            try:
                self._transport.getHandle().setsockopt(
                    socket.IPPROTO_TCP, _NOTSENT_LOWAT, backlog
                )
            except OSError:
                # A kernel that does not know the option does without.
                self._tunes = False

    # Reading.

    def readMore(self) -> None:
        """
        Chunks are as large as they can be.
        """
        self._transport.bufferSize = min(2 * self._transport.bufferSize, self._readSize)
        self._measureReading()

    def readLess(self) -> None:
        """
        Chunks aren't large any more.
        """
        self._transport.bufferSize = self._plainSize
        self._measureReading()

    def _measureReading(self) -> None:
        size = self._transport.bufferSize
        self.fullChunk = size if size < self._readSize else float("inf")
        self.smallChunk = size // 4 if size > self._plainSize else 0


def _isNear(handle: socket.socket) -> bool:
    """
    Is a process of this machine at the other end?
    """
    if handle.family == getattr(socket, "AF_UNIX", None):
        return True
    try:
        return bool(handle.getsockname()[0] == handle.getpeername()[0])
    except OSError:
        return False


def _taken(send: Callable[[_T], int], data: _T) -> int:
    """
    Send what the kernel takes.

    @return: how many bytes; 0, too, if something is wrong.
    """
    try:
        return send(data)
    except OSError:
        # As a rule it is just full.
        return 0


def carrierOf(
    transport: ITransport,
    producer: IPushProducer,
    turnBytes: int,
    readSize: int,
    seconds: Callable[[], float],
) -> Carrier:
    """
    The carrier that a transport makes.
    """
    if isinstance(transport, Connection) and not getattr(transport, "TLS", False):
        return SocketCarrier(transport, producer, turnBytes, readSize, seconds)
    return Carrier(transport, producer, turnBytes)
