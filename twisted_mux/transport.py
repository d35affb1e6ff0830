"""
A stream as a Twisted transport, as good as a TCP connection.

L{StreamTransport} joins a stream of the engine with a protocol.  It owns what
Twisted adds to a stream: the producer, the meaning of C{loseConnection}, who is
told what in which order.  Which stream it is, its base says (L{StreamIdentity
<twisted_mux.stream_identity.StreamIdentity>}).  It refuses to know anything about windows, turns,
frames or wires: the engine's L{Stream<twisted_mux.engine.stream.Stream>} has
those, and calls the protocol's C{dataReceived} itself.

L{twisted.internet.abstract.FileDescriptor} is the reference for what a protocol
may rely on; where its code and its documentation differ, its code.

B{Closing} has three steps.  C{loseConnection} stops the reading for good.  When
no producer holds it up (C{_producerHolds}) the stream is asked to end behind
what has been written.  When that end has been taken by the carrier
C{connectionLost} is called, and the stream is left: the engine drops what its
peer may still send.

B{Nothing is called from within} a protocol's own C{write}, C{loseConnection},
C{abortConnection} or C{resumeProducing}, except producers, as with TCP, and
C{connectionLost} from a C{loseConnection} that comes after the write side was
closed, as with TCP too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    ILoggingContext,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer, providedBy

from twisted_mux.interfaces import IStreamTransport
from twisted_mux.reasons import SessionLost, StreamDropped, StreamReset
from twisted_mux.stream_identity import StreamIdentity

try:
    from twisted.internet.interfaces import ITLSTransport
    from twisted.protocols.tls import TLSMemoryBIOFactory as _TLS
except ImportError:  # pragma: no cover - without pyOpenSSL
    _TLS = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Stream
    from twisted_mux.errors import MuxError
    from twisted_mux.protocol import MuxProtocol


def mustBeBytes(data: object) -> None:
    """
    @raise TypeError: C{data} is not bytes.
    """
    if not isinstance(data, bytes):
        raise TypeError("Data must be bytes")


@implementer(IStreamTransport, ITCPTransport, IConsumer, IPushProducer, ILoggingContext)
class StreamTransport(StreamIdentity):
    """
    See L{IStreamTransport} and the interfaces of Twisted that it provides.

    @ivar connected: true from before C{makeConnection} until before
        C{connectionLost}.
    @ivar disconnecting: was C{loseConnection} called?
    @ivar disconnected: true from before C{connectionLost}.
    @ivar bufferSize: bytes written and not yet sent above which a push
        producer is paused; may be set.
    @ivar producer: the producer, or C{None}.
    @ivar streamingProducer: is it a push producer?
    @ivar producerPaused: was it paused?
    @ivar protocolName: see L{IStreamTransport}.
    """

    __slots__ = (
        "_aborting",
        "_keepAlive",
        "_noDelay",
        "_producerHolds",
        "_watcher",
        "_writeDisconnected",
        "_writeDisconnecting",
        "bufferSize",
        "connected",
        "disconnected",
        "disconnecting",
        "producer",
        "producerPaused",
        "protocolName",
        "streamingProducer",
    )

    _log = Logger()
    #: Is it encrypted by L{startTLS}?
    TLS = False

    def __init__(
        self, mux: MuxProtocol, bufferSize: int, watcher: StreamWatcher | None = None
    ) -> None:
        """
        @param watcher: who is told what the protocol is not.
        """
        self._mux = mux
        self._watcher = watcher
        self._aborting = False
        self._keepAlive = False
        self._noDelay = False
        self._producerHolds = False
        self._writeDisconnecting = False
        self._writeDisconnected = False
        self.bufferSize = bufferSize
        self.connected = False
        self.disconnected = False
        self.disconnecting = False
        self.producer: IProducer | None = None
        self.producerPaused = False
        self.streamingProducer = False
        self.protocolName = b""

    def attach(self, stream: Stream) -> None:
        """
        This is the stream.  To be called before anything else.
        """
        self._stream = stream
        stream.handler = self

    # The protocol may not be ready.

    def deferAccepting(self) -> None:
        """
        The protocol is not ready yet; see L{IStreamTransport}.
        """
        self._mux.engine.table.defer(self._stream)

    def accept(self) -> None:
        """
        It is now; see L{IStreamTransport}.
        """
        self._mux.engine.table.pending.discard(self._stream)

    # For handshakes in front of the protocol (see twisted_mux.negotiation).

    def unread(self, data: bytes) -> None:
        """
        From within C{dataReceived}: put back the rest of what came, which may be
        nothing.  It, and all that comes behind, is delivered in a later turn, to
        the protocol there is by then.
        """
        self._stream.unread(data)

    def refuse(self, error: MuxError) -> None:
        """
        Drop the stream at once, because of what the peer did: C{connectionLost}
        is called with L{StreamDropped}.  A peer that does so too often loses its
        session.
        """
        if not self.disconnected and not self._aborting:
            self._mux.engine.table.refuse(self._stream, error)

    # The protocol.

    @property
    def protocol(self) -> IProtocol:
        """
        Who is called with what arrives.  It may be replaced at any time, and
        is gone after C{connectionLost}.
        """
        receiver = None if self.disconnected else self._stream.receiver
        if receiver is None:
            raise AttributeError("the stream has no protocol any more")
        return cast(IProtocol, receiver)

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        receiver: Any = protocol
        self._stream.receiver = receiver

    # Writing.

    def write(self, data: bytes) -> None:
        """
        Send C{data} when it is the stream's turn.  Dropped when the connection
        is lost or the write side closed.

        @raise TypeError: it is not L{bytes}.
        """
        if type(data) is not bytes:
            mustBeBytes(data)
        if not self.connected:
            return
        stream = self._stream
        stream.write(data)
        if self.producer is not None and stream.buffered > self.bufferSize:
            self._pauseProducer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send all of C{data}, any iterable of L{bytes}.
        """
        pieces = list(data)
        for piece in pieces:
            mustBeBytes(piece)
        self.write(b"".join(pieces))

    def loseWriteConnection(self) -> None:
        """
        End this side's direction behind what was written.  The protocol, if it
        is an L{IHalfCloseableProtocol
        <twisted.internet.interfaces.IHalfCloseableProtocol>}, gets C{writeConnectionLost} then.
        """
        if self._writeDisconnecting or not self.connected:
            return
        self._writeDisconnecting = True
        self._endWhenFlushed()

    def loseConnection(self, *_: object) -> None:
        """
        Read no more, send what was written, then close.
        """
        if not self.connected or self.disconnecting or self._aborting:
            return
        self._stream.stopReading()
        self.disconnecting = True
        if self._writeDisconnected:
            self._mux.tell(self, self._lost, connectionDone)
        elif self.producer is None:
            self._stream.endWriting()
        else:
            self._endWhenFlushed()

    def abortConnection(self) -> None:
        """
        Drop the stream at once, with all that was written.  C{connectionLost}
        follows in a later turn.
        """
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self._stream.reset()
        self._mux.aborting[self._stream] = self
        self._mux.later(self._aborted)

    def _aborted(self) -> None:
        self._mux.aborting.pop(self._stream, None)
        self._lost(Failure(ConnectionAborted()))

    def _endWhenFlushed(self) -> None:
        producer = self.producer
        if producer is None:
            self._stream.endWriting()
        elif self._producerHolds or not self.streamingProducer or self.producerPaused:
            self._producerHolds = True
            if not self._stream.buffered:
                # Nothing is left that could tell it to go on.
                self._mux.later(self._nothingToFlush)
        else:
            self._stream.endWriting()

    def _nothingToFlush(self) -> None:
        if not self._stream.buffered and not self._aborting:
            self.writeBufferEmptied()

    # Producers that we consume from.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See L{IConsumer<twisted.internet.interfaces.IConsumer>}.  On a lost
        connection the producer is stopped at once.

        @raise RuntimeError: there is a producer already.
        """
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was "
                "never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = bool(streaming)
        self.producerPaused = False
        if streaming:
            return
        self._stream.wantsEmpty = True
        if self.disconnecting or self._writeDisconnecting:
            self._producerHolds = True
            self._stream.holdEnd()
        # What it raises is the caller's, as with TCP.
        cast(IPullProducer, producer).resumeProducing()

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer<twisted.internet.interfaces.IConsumer>}.
        """
        self.producer = None
        self.producerPaused = False
        self._producerHolds = False
        self._stream.wantsEmpty = False
        if self.connected and (self.disconnecting or self._writeDisconnecting):
            self._stream.endWriting()

    def stopConsuming(self) -> None:
        """
        The producer has gone.
        """
        self.unregisterProducer()
        self.loseConnection()

    def _pauseProducer(self) -> None:
        producer = self.producer
        if not self.streamingProducer or self.producerPaused:
            return
        self.producerPaused = True
        self._stream.wantsEmpty = True
        if self.disconnecting or self._writeDisconnecting:
            self._producerHolds = True
            self._stream.holdEnd()
        cast(IPushProducer, producer).pauseProducing()

    def _resume(self, producer: IProducer) -> None:
        self._call(cast(IPullProducer, producer).resumeProducing)

    # The stream as a producer.

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}.
        """
        self._stream.pauseReading()

    def resumeProducing(self) -> None:
        """
        Deliver again, from the next turn on.
        """
        if self.connected and not self.disconnecting and not self._aborting:
            self._stream.resumeReading()

    def stopProducing(self) -> None:
        """
        Close the connection.
        """
        self.loseConnection()

    startReading = resumeProducing
    stopReading = pauseProducing

    # Options of a TCP connection.  The carrier's are its own affair, and they
    # would be every other stream's too, so they are remembered and no more.

    def getTcpNoDelay(self) -> bool:
        """
        What L{setTcpNoDelay} has set; frames are never delayed.
        """
        return self._noDelay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Changes nothing: frames are never delayed.
        """
        self._noDelay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        What L{setTcpKeepAlive} has set.
        """
        return self._keepAlive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Changes nothing: the session keeps its carrier alive itself.
        """
        self._keepAlive = bool(enabled)

    # What the engine tells (see its StreamHandler).

    def streamAccepted(self) -> None:
        """
        The peer acknowledged the stream.
        """
        if not self.connected and self._watcher is not None:
            self._watcher.accepted()

    def streamEnded(self) -> None:
        """
        The peer's direction is at its end.
        """
        aware = self._halfCloseable()
        if aware is None:
            self._lost(connectionDone)
        else:
            self._call(aware.readConnectionLost)

    def streamReset(self, code: int) -> None:
        """
        The peer dropped the stream.
        """
        text = f"stream {self.streamId} of {self._mux.describe()} was reset by the peer"
        if code:
            text += f" ({self._mux.describeCode(code)})"
        self._lost(Failure(StreamReset(text)))

    def streamLost(self, error: MuxError | None) -> None:
        """
        The session is over, or the stream had to be dropped.
        """
        reason: MuxError
        if error is not None and not self._mux.over:
            self._mux.streamDropped(error)
            reason = StreamDropped(f"{self._mux.describe()}: {error.cause}")
        else:
            reason = SessionLost(self._mux.describeEnd(error))
        reason.__cause__ = error
        self._lost(Failure(reason))

    def writeBufferEmptied(self) -> None:
        """
        All that was written has been taken.
        """
        producer = self.producer
        if producer is None or not self.connected:
            return
        if self.streamingProducer:
            if not self.producerPaused:
                return
            self.producerPaused = False
            self._stream.wantsEmpty = False
        self._resume(producer)

    def writingEnded(self) -> None:
        """
        All that was written has been taken, and the end behind it.
        """
        if self.disconnecting:
            self._lost(connectionDone)
            return
        self._writeDisconnected = True
        aware = self._halfCloseable()
        if aware is not None:
            self._call(aware.writeConnectionLost)

    def _halfCloseable(self) -> Any:
        """
        What C{IHalfCloseableProtocol(protocol, None)} is.  Asked like that an
        interface looks for C{__conform__} by an exception, which takes three times as
        long as all the rest; and what the last one was not it is not asked again.
        """
        protocol = self._stream.receiver
        mux = self._mux
        provided = providedBy(protocol)
        if provided is mux.unaware:
            return None
        if getattr(protocol, "__conform__", None) is not None:
            return IHalfCloseableProtocol(protocol, None)
        aware = IHalfCloseableProtocol.__adapt__(protocol)
        if aware is None:
            mux.unaware = provided
        return aware

    def receiverFailed(self) -> None:
        """
        The protocol, or its producer, raised: the stream is dropped.
        """
        failure = Failure()
        self._log.failure(
            "stream {stream} of {session} is dropped: its protocol raised",
            failure,
            stream=self.streamId,
            session=self._mux.describe(),
        )
        self.drop(failure)

    def drop(self, failure: Failure) -> None:
        """
        Drop the stream at once; C{connectionLost}, if there was a connection,
        is called with C{failure}.
        """
        if self.disconnected:
            return
        self._stream.reset()
        self._lost(failure)

    # The beginning and the end of the connection.  (Mux.tell, without a call: these
    # are called in the session's context.)

    def connectionOpened(self, protocol: IProtocol) -> None:
        """
        Connect C{protocol}; what it raises is not caught.
        """
        receiver: Any = protocol
        self._stream.receiver = receiver
        self.connected = True
        mux = self._mux
        before = mux.telling
        mux.telling = self
        try:
            protocol.makeConnection(self)
        finally:
            mux.telling = before

    def begin(self) -> None:
        """
        Let what arrives be delivered, from the next turn on.  Once for each stream
        that this side has opened, when it is connected.
        """
        self._mux.engine.start(self._stream)

    def _call(self, function: Any) -> None:
        try:
            self._mux.tell(self, function)
        except BaseException:
            self.receiverFailed()

    def _lost(self, reason: Failure) -> None:
        if self.disconnected:
            return
        connected = self.connected
        self.connected = False
        self.disconnected = True
        stream = self._stream
        protocol: Any = stream.receiver
        stream.leave()
        mux = self._mux
        before = mux.telling
        mux.telling = self
        producer = self.producer
        if producer is not None:
            self.producer = None
            self._stop(producer)
        watcher = self._watcher
        self._watcher = None
        if connected and protocol is not None:
            try:
                protocol.connectionLost(reason)
            except BaseException:
                self._log.failure(
                    "stream {stream} of {session}: connectionLost of {protocol!r} raised",
                    stream=self.streamId,
                    session=self._mux.describe(),
                    protocol=protocol,
                )
        stream.receiver = None
        mux.telling = before
        if watcher is not None:
            watcher.lost(reason)

    def _stop(self, producer: IProducer) -> None:
        try:
            producer.stopProducing()
        except BaseException:
            self._log.failure(
                "stream {stream} of {session}: stopProducing of {producer!r} raised",
                stream=self.streamId,
                session=self._mux.describe(),
                producer=producer,
            )

    # TLS.

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """
        See L{ITLSTransport<twisted.internet.interfaces.ITLSTransport>}.  From now on this is an
        L{ISSLTransport<twisted.internet.interfaces.ISSLTransport>}.
        """
        from twisted_mux.starttls import startTLS

        startTLS(self, contextFactory, self.opener == bool(normal))


class StreamWatcher:
    """
    Who wants to know of the beginning and the end of a stream, beside its
    protocol.
    """

    __slots__ = ()

    def accepted(self) -> None:
        """
        The peer acknowledged the stream, to which no protocol is connected yet.
        """

    def lost(self, reason: Failure) -> None:
        """
        It is over; the protocol, if there was one, has been told.
        """


if _TLS is not None:  # pragma: no branch - with pyOpenSSL
    implementer(ITLSTransport)(StreamTransport)
