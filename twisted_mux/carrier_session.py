"""
When is a carrier up?

When its connection is made and, where that is TLS, when the handshake is through as
well: Twisted calls C{connectionMade} before, and a stream that were opened at that
time would go to a peer that may still turn out to be nobody we know.

A peer that does not get through its handshake is dropped after a while: whoever
dialled would wait for ever, and whoever listens would hold a connection for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.protocol import MuxProtocol

try:
    from twisted.protocols.tls import TLSMemoryBIOProtocol as _TLS
except ImportError:  # pragma: no cover - without pyOpenSSL
    _TLS = None  # type: ignore[assignment,misc]

__all__ = ["HANDSHAKE_TIMEOUT", "CarrierSession"]

#: Seconds that the handshake of TLS may take.
HANDSHAKE_TIMEOUT = 30.0


@implementer(IHandshakeListener)
class CarrierSession(MuxProtocol):
    """
    A session that tells when its carrier is up.
    """

    _up = False
    _timeout: IDelayedCall | None = None
    _timedOut: Failure | None = None
    _whenUp: Deferred[CarrierSession] | None = None
    _whenPeerLeaves: Callable[[], object] | None = None

    def connectionMade(self) -> None:
        """
        See L{MuxProtocol}.
        """
        super().connectionMade()
        transport: object = self.transport
        if _TLS is not None and isinstance(transport, _TLS):
            self._timeout = self.reactor.callLater(HANDSHAKE_TIMEOUT, self._tooLate)
        else:
            self.handshakeCompleted()

    def _tooLate(self) -> None:
        self._timeout = None
        self._timedOut = Failure(
            TwistedTimeout(
                string=f"no TLS handshake within {HANDSHAKE_TIMEOUT:g} seconds"
            )
        )
        self.abort()

    def _stopTimeout(self) -> None:
        call = self._timeout
        self._timeout = None
        if call is not None:
            call.cancel()

    def handshakeCompleted(self) -> None:
        """
        See L{IHandshakeListener}.
        """
        self._up = True
        self._stopTimeout()
        waiting = self._whenUp
        self._whenUp = None
        if waiting is not None:
            waiting.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{MuxProtocol}.
        """
        self._stopTimeout()
        waiting = self._whenUp
        self._whenUp = None
        if waiting is not None:
            waiting.errback(self._timedOut or reason)
        super().connectionLost(reason)

    def goAwayReceived(self, code: int) -> None:
        """
        See L{MuxProtocol}.
        """
        super().goAwayReceived(code)
        if self._whenPeerLeaves is not None:
            self._whenPeerLeaves()

    def whenPeerLeaves(self, call: Callable[[], object]) -> None:
        """
        Have C{call}, which must not raise, called when the peer says that it
        takes no more streams.
        """
        self._whenPeerLeaves = call

    def whenUp(self) -> Deferred[CarrierSession]:
        """
        Fires with this session when its carrier is up, and fails if it is lost
        before; cancelling drops it.  May be called once.
        """
        deferred: Deferred[CarrierSession] = Deferred(lambda _: self.abort())
        if self._up:
            deferred.callback(self)
        else:
            self._whenUp = deferred
        return deferred
