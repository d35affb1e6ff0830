"""
The two sides of a bridged connection, and what joins them.

What has to be right here:

  - B{Nothing is lost, and little is held.}  Until the outgoing side is connected the
    incoming one is paused.  Some transports still deliver what they had in hand when
    they were paused (TLS, HAProxy's header): no more than one read, which is kept and
    written first.
  - B{Each direction ends by itself.}  The end of what one side sends is passed on as
    the end of what the other is sent; when both have ended, both sides are closed.
    TLS, as Twisted has it, can't end one direction alone.  There the end closes the
    connection behind what was written: otherwise connections whose client has gone
    would stay for ever, since a client that has closed looks just like this.
  - B{A reset stays a reset.}  Where one side is lost, and not in good order, the other
    is aborted, so that nobody takes what is cut off for all there was.
  - B{A side that is to end must not wait for its producer.}  A transport with a paused
    producer puts off its closing until that unregisters, which a side that is lost, or
    has nothing more to send, would never do.  So it is unregistered first, always.
  - B{Nobody reads past the end.}  A TCP connection that is resumed after the end of
    its input finds that end again.  So L{_Side} itself is the producer, not its
    transport, and knows when to leave that alone.  Nor would the transport do for
    another reason: as a producer that is stopped it closes in good order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.address import describeAddress
from twisted_mux.half_close import hearOfEnds
from twisted_mux.interfaces import IServiceEndpoint, IStreamTransport

if TYPE_CHECKING:
    from twisted_mux.bridge import Bridge

__all__ = ["Joint"]


@implementer(IHalfCloseableProtocol, IPushProducer)
class _Side(Protocol):
    """
    One side of a connection, and the producer of what is written to the other.

    @ivar other: the other side, once both are there.
    @ivar early: what arrived before that.
    @ivar ended: has the peer ended its direction?
    @ivar paused: does the other side want nothing now?
    @ivar lost: is the connection gone?
    """

    other: _Side | None = None
    ended = False
    paused = False
    lost = False
    _consumes = False
    transport: Any

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.early: list[bytes] = []

    def passOn(self, data: bytes) -> None:
        """
        Write to the other side, or keep until there is one.
        """
        other = self.other
        if other is None:
            self.early.append(data)
        else:
            other.transport.write(data)

    def join(self, other: _Side) -> None:
        """
        The other side is there; it has to be told in the same way before
        L{start}.
        """
        self.other = other
        self._consumes = True
        self.transport.registerProducer(other, True)

    def start(self) -> None:
        """
        Pass on what was held back, and go on reading.
        """
        early = self.early
        self.early = []
        for data in early:
            self.passOn(data)
        if self.ended:
            self._passEnd()
        elif not self.paused:
            self.transport.resumeProducing()

    # IPushProducer, for the other side's transport.

    def pauseProducing(self) -> None:
        """
        The other side has enough for now.
        """
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The other side can take more.
        """
        self.paused = False
        if not (self.ended or self.lost):
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        Nothing: the other side's C{connectionLost}, which follows, knows why.
        """

    # The ends.

    def readConnectionLost(self) -> None:
        """
        The peer's direction is at its end.
        """
        if not self.ended:
            self.ended = True
            if self.other is not None:
                self._passEnd()

    def writeConnectionLost(self) -> None:
        """
        Our direction is at its end, as we wanted.
        """

    def _passEnd(self) -> None:
        other = self.other
        assert other is not None
        other.release()
        if other.ended:
            other.transport.loseConnection()
            self.release()
            self.transport.loseConnection()
        elif _canHalfClose(other.transport):
            other.transport.loseWriteConnection()
        else:
            other.transport.loseConnection()

    def release(self) -> None:
        """
        No more comes from the other side: let it not be waited for.
        """
        if self._consumes:
            self._consumes = False
            self.transport.unregisterProducer()

    def abort(self) -> None:
        """
        Drop the connection.
        """
        self.release()
        abort = getattr(self.transport, "abortConnection", None)
        if abort is None:
            # Pipes and the like.
            abort = self.transport.loseConnection
        abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone: so the other side has to go, in the same way.
        """
        self.lost = True
        self._consumes = False
        orderly = reason.check(ConnectionDone) is not None
        self.joint.sideLost(self, None if orderly else reason.getErrorMessage())
        other = self.other
        if other is None or other.lost:
            return
        if orderly:
            other.release()
            other.transport.loseConnection()
        else:
            other.abort()


class _Incoming(_Side):
    """
    The side of whoever has connected to us.
    """

    def connectionMade(self) -> None:
        """
        Hold it, and connect to the target.
        """
        self.transport.pauseProducing()
        hearOfEnds(self, self.transport)
        transport: Any = self.transport
        if IStreamTransport.providedBy(transport):
            cast(Any, transport).deferAccepting()
        self.joint.begin()

    def accept(self) -> None:
        """
        There is somebody at the target's end.
        """
        transport: Any = self.transport
        if IStreamTransport.providedBy(transport):
            cast(Any, transport).accept()

    def dataReceived(self, data: bytes) -> None:
        """
        For the target.
        """
        self.joint.bridge.moved(len(data), 0)
        self.passOn(data)


class _Outgoing(_Side):
    """
    The side of the target.

    @ivar spoke: has it said anything?
    """

    spoke = False

    def connectionMade(self) -> None:
        """
        Join the two.
        """
        self.joint.connected()

    def dataReceived(self, data: bytes) -> None:
        """
        From the target.
        """
        self.spoke = True
        self.joint.bridge.moved(0, len(data))
        self.passOn(data)


@implementer(IProtocolFactory)
class Joint:
    """
    The two sides of a connection; at the same time the factory that builds the
    second.
    """

    __slots__ = (
        "_connecting",
        "_late",
        "_limit",
        "_outgoing",
        "_service",
        "_settled",
        "bridge",
        "incoming",
    )

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.incoming = _Incoming(self)
        self._outgoing: _Outgoing | None = None
        self._connecting: Deferred[IProtocol] | None = None
        self._limit: IDelayedCall | None = None
        self._late = False
        # Is it the target's own affair when the other side gets what it wants?
        self._service = False
        # Is it said, or no failure at all, why it ends?
        self._settled = False

    def begin(self) -> None:
        """
        There is the incoming side.
        """
        bridge = self.bridge
        bridge.began(self)
        self._limit = bridge.reactor.callLater(bridge.connectTimeout, self._tooLate)
        target = bridge.target
        connecting: Deferred[IProtocol]
        if IServiceEndpoint.providedBy(target):
            self._service = True
            connecting = maybeDeferred(
                target.connectService, self, self._fail, self.incoming.accept
            )
        else:
            connecting = maybeDeferred(target.connect, self)
        self._connecting = connecting
        connecting.addBoth(self._connectEnded)

    # IProtocolFactory, for the target's endpoint.

    def doStart(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def doStop(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """
        The outgoing side.
        """
        self._outgoing = _Outgoing(self)
        return self._outgoing

    def connected(self) -> None:
        """
        There is the outgoing side.
        """
        incoming = self.incoming
        outgoing = self._outgoing
        assert outgoing is not None
        if incoming.lost:
            outgoing.abort()
            return
        if not self._service:
            incoming.accept()
        outgoing.join(incoming)
        incoming.join(outgoing)
        incoming.start()

    # How it ends.

    def _connectEnded(self, result: object) -> None:
        self._connecting = None
        limit = self._limit
        self._limit = None
        if limit is not None:
            limit.cancel()
        if isinstance(result, Failure) and not self.incoming.lost:
            if self._late:
                seconds = self.bridge.connectTimeout
                self._fail(f"no connection within {seconds:g} seconds")
            else:
                self._fail(result.getErrorMessage())
            self.incoming.abort()
        self._checkEnd()

    def _fail(self, why: str) -> None:
        if not self._settled:
            self._settled = True
            peer = describeAddress(self.incoming.transport.getPeer())
            self.bridge.failed(peer, why)

    def _tooLate(self) -> None:
        self._limit = None
        self._late = True
        self._cancel()

    def _cancel(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    def sideLost(self, side: _Side, why: str | None) -> None:
        """
        One side is gone.

        @param why: C{None} if that was in good order.
        """
        outgoing = self._outgoing
        if side is self.incoming:
            self._cancel()
        elif why and not self.incoming.lost and outgoing and not outgoing.spoke:
            self._fail(why)
        self._checkEnd()

    def _checkEnd(self) -> None:
        outgoing = self._outgoing
        if (
            self.incoming.lost
            and self._connecting is None
            and (outgoing is None or not outgoing.connected or outgoing.lost)
        ):
            self.bridge.ended(self)

    def abort(self) -> None:
        """
        Drop both sides.
        """
        self._settled = True
        self._cancel()
        for side in (self.incoming, self._outgoing):
            if side is not None and side.connected and not side.lost:
                side.abort()


def _canHalfClose(transport: object) -> bool:
    """
    Can it end one direction alone?
    """
    return hasattr(transport, "loseWriteConnection") and not (
        ISSLTransport.providedBy(transport)
    )
