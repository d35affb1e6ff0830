"""
The handshake of C{mtls:}: what stands between TLS and the application until it is known
who the peer is, and why not, if it is not let in.

B{Why not Twisted's own}: C{optionsForClientTLS} verifies the name in a callback of
OpenSSL in some versions and behind the handshake in others, and either way the reason for
a certificate's refusal is lost; servers have nothing of the kind.  So there is one callback
for both sides here.  What it refuses ends the handshake, so that the peer is told as well.

Twisted calls a L{_Guard} when the handshake is done, since it is an
L{IHandshakeListener}.  It stays there afterwards, for one thing: what TLS 1.3 says about
our certificate arrives later, and becomes the reason of C{connectionLost}, in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from OpenSSL.crypto import X509
from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, Connection
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    ILoggingContext,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.mtls_identity import isAddress
from twisted_mux.tls_reasons import TLSFailed, explainTLS, explainVerification

__all__ = ["TIMEOUT", "ClientCreator", "GuardFactory", "ServerCreator"]

#: Seconds that a handshake may take: some round trips, on a bad line.
TIMEOUT = 30.0


class _Creator:
    """
    Makes connections of OpenSSL, whose guard is told what is wrong with the peer's
    certificate.
    """

    def __init__(self, options: CertificateOptions) -> None:
        self._options = options

    def _create(self, tls: Any) -> Connection:
        connection = Connection(self._options.getContext(), None)

        def verified(
            _: object, certificate: X509, code: int, depth: int, good: int
        ) -> bool:
            guard: _Guard = tls.wrappedProtocol
            if not good:
                guard.note(explainVerification(code, depth))
                return False
            return depth > 0 or guard.verify(certificate.to_cryptography())

        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, verified)
        return connection


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator(_Creator):
    """
    For servers.
    """

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """
        See L{IOpenSSLServerConnectionCreator}.
        """
        return self._create(tlsProtocol)


@implementer(IOpenSSLClientConnectionCreator)
class ClientCreator(_Creator):
    """
    For clients.
    """

    def __init__(self, options: CertificateOptions, name: str) -> None:
        """
        @param name: the server's, to tell it whom we want.
        """
        super().__init__(options)
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """
        See L{IOpenSSLClientConnectionCreator}.
        """
        connection = self._create(tlsProtocol)
        if not isAddress(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection


@implementer(IHandshakeListener)
class _Guard(Protocol):
    """
    Stands between TLS and the application's protocol, which is not built before the
    peer is known.
    """

    _limit: IDelayedCall | None = None
    _verified = False
    _told = False
    transport: Any

    def __init__(self, factory: GuardFactory, address: IAddress) -> None:
        self._factory = factory
        self._address = address
        self._inner: Any = None
        self._complaint = ""

    def note(self, complaint: str) -> None:
        """
        That is what is wrong with the peer's certificate.
        """
        self._complaint = self._complaint or complaint

    def connectionMade(self) -> None:
        """
        The handshake begins.
        """
        self._limit = self._factory.reactor.callLater(TIMEOUT, self._tooLate)

    def _tooLate(self) -> None:
        self._limit = None
        self.refuse(f"no handshake within {TIMEOUT:g} seconds")

    def refuse(self, complaint: str) -> None:
        """
        Not with that peer.
        """
        self.note(complaint)
        self.transport.abortConnection()

    def verify(self, certificate: x509.Certificate) -> bool:
        """
        The peer's certificate is valid: is it the right one?
        """
        try:
            complaint = self._factory.check(certificate)
        except Exception as error:
            # What is within it has been written by others.
            complaint = f"the peer's certificate can't be understood: {error}"
        if complaint:
            self.note(complaint)
        else:
            self._verified = True
        return self._verified

    def handshakeCompleted(self) -> None:
        """
        Both sides have what they want.
        """
        if not self._verified:
            # OpenSSL has not asked: a session taken up again, which we never allow.
            self.refuse("the peer was not verified")
            return
        self._endLimit()
        try:
            self._connect()
        except BaseException:
            self._tell(Failure())
            # Such a connection is lost, and the traceback logged, as with TCP.
            raise

    def _connect(self) -> None:
        self._inner = self._factory.inner.buildProtocol(self._address)
        if self._inner is None:
            self.refuse("the application does not want this connection")
            return
        self._inner.makeConnection(self.transport)
        if IHandshakeListener.providedBy(self._inner):
            self._inner.handshakeCompleted()
        self._tell(self._inner)

    def _tell(self, result: object) -> None:
        if not self._told:
            self._told = True
            self._factory.done(result, self._address)

    def dataReceived(self, data: bytes) -> None:
        """
        For the application.
        """
        self._inner.dataReceived(data)

    def _endLimit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the application, or whoever waits for the handshake.
        """
        self._endLimit()
        explained = explainTLS(reason, self._complaint)
        if self._inner is not None:
            self._inner.connectionLost(explained)
            return
        if not explained.check(TLSFailed):
            why = self._complaint or "closed before the handshake was done"
            explained = Failure(TLSFailed(why))
        self._tell(explained)


@implementer(IProtocolFactory, ILoggingContext)
class GuardFactory:
    """
    Builds guards.

    @ivar inner: the application's factory.
    @ivar check: what speaks against a valid certificate, in one line; empty if nothing
        does.
    @ivar done: is told for each connection, once, which protocol it has got, or why
        none.
    """

    def __init__(
        self,
        reactor: Any,
        inner: IProtocolFactory,
        check: Callable[[x509.Certificate], str],
        done: Callable[[object, IAddress | None], None],
    ) -> None:
        self.reactor = reactor
        self.inner = inner
        self.check = check
        self.done = done
        self.built: _Guard | None = None

    def logPrefix(self) -> str:
        """
        As the application's factory says, for the messages of ports.
        """
        if ILoggingContext.providedBy(self.inner):
            return str(self.inner.logPrefix())
        return type(self.inner).__name__

    def doStart(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        self.inner.doStart()

    def doStop(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        self.inner.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """
        See L{IProtocolFactory}.
        """
        self.built = _Guard(self, addr)
        return self.built
