"""
TLS on which both sides say who they are: the endpoints behind C{mtls:} strings.

Twisted's own C{ssl:} listens for whoever comes, and C{tls:} has no way to say which
client may.  A carrier is a way into a network, so here both sides present a certificate,
and both verify the other's: against authorities that the string names, never those of
the system, by whom anybody can have themselves certified.

  - B{Files} are read when a string is parsed, so that what is wrong with them is known
    before anything happens, and read again at each C{listen} and C{connect}: a
    certificate that was renewed is used from then on.
  - B{Names.}  A client verifies that the server has the name that was dialled (or
    C{peer=}), as every client of TLS does.  A server has nothing to compare with, so
    any certificate of the authorities will do, unless C{peer=} lists names: one of them
    has to be in the certificate exactly, as an alternative name (of a host, an
    address, a URI or a mailbox), or, where there are none, as the common name.
    C{fingerprint=} lists certificates, on either side.
  - B{When it is connected.}  Twisted's protocols learn that they are connected when TCP
    is, before TLS.  Here that waits for the handshake: C{connect} fails if that does, and
    who is not let in never meets the application.  The one exception is in TLS 1.3
    itself: a client is ready before the server has seen its certificate.  So what the
    server has against it arrives as the reason of C{connectionLost}.
  - B{Time.}  A handshake has L{TIMEOUT} seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cryptography.x509 import Certificate
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import (
    HostnameEndpoint,
    SSL4ServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.address import describeAddress
from twisted_mux.errors import ConfigError
from twisted_mux.mtls_handshake import (
    TIMEOUT,
    ClientCreator,
    GuardFactory,
    ServerCreator,
)
from twisted_mux.mtls_identity import Identity, nameComplaint, parseIdentity, toASCII

__all__ = [
    "TIMEOUT",
    "MTLSClientEndpoint",
    "MTLSServerEndpoint",
    "parseClient",
    "parseServer",
]


@implementer(IStreamServerEndpoint)
class MTLSServerEndpoint:
    """
    Listens for clients that have a certificate.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        port: int,
        identity: Identity,
        interface: str = "",
        backlog: int = 50,
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._identity = identity
        self._interface = interface
        self._backlog = backlog

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint}.  Fails with L{ConfigError} if there is something
        wrong with a file now.  Who is refused is one line in the log.
        """
        try:
            creator = ServerCreator(self._identity.options())
        except ConfigError as error:
            return fail(error)
        endpoint = SSL4ServerEndpoint(
            self._reactor, self._port, creator, self._backlog, self._interface
        )
        factory = GuardFactory(
            self._reactor, protocolFactory, self._identity.complaint, self._done
        )
        listening: Deferred[IListeningPort] = endpoint.listen(factory)
        return listening

    def _done(self, result: object, address: IAddress | None) -> None:
        if isinstance(result, Failure):
            self._log.warn(
                "mtls: connection from {peer} refused: {why}",
                peer=describeAddress(address),
                why=result.getErrorMessage(),
            )


@implementer(IStreamClientEndpoint)
class MTLSClientEndpoint:
    """
    Connects to a server that is to know who we are.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        identity: Identity,
        name: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        """
        @param name: the server's, if that is not C{host}.
        @param timeout: seconds for the connection; the handshake comes on top.
        @raise ConfigError: the name is none.
        """
        self._reactor = reactor
        self._host = host
        self._port = port
        self._identity = identity
        self._name = toASCII(name or host)
        self._timeout = timeout

    def _complaint(self, certificate: Certificate) -> str:
        complaint = nameComplaint(self._name, certificate)
        return complaint or self._identity.complaint(certificate)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.  It fails with L{ConfigError} if there is
        something wrong with a file now, and with L{TLSFailed} if the peer is not the
        right one.
        """
        try:
            creator = ClientCreator(self._identity.options(), self._name)
        except ConfigError as error:
            return fail(error)
        results: list[Deferred[IProtocol]] = []

        def done(result: Any, _: object = None) -> None:
            # Not any more if it was cancelled.
            if results:
                results.pop().callback(result)

        def cancel(deferred: Deferred[IProtocol]) -> None:
            done(Failure(ConnectingCancelledError(None)))
            if factory.built is None:
                connecting.cancel()
            else:
                factory.built.refuse("cancelled")

        factory = GuardFactory(self._reactor, protocolFactory, self._complaint, done)
        deferred: Deferred[IProtocol] = Deferred(cancel)
        results.append(deferred)
        endpoint = wrapClientTLS(
            creator,
            HostnameEndpoint(self._reactor, self._host, self._port, self._timeout),
        )
        connecting = endpoint.connect(factory)
        connecting.addErrback(done)
        return deferred


# The strings.


def parseServer(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MTLSServerEndpoint:
    """
    The endpoint for C{mtls:PORT:certificate=…:trustRoots=…} and so on.

    @raise ConfigError: there is something wrong with the string or the files.
    """
    identity, rest = parseIdentity(options)
    port, *more = args or [""]
    interface = rest.pop("interface", None) or "".join(more[:1])
    backlog = _number("backlog", rest.pop("backlog", "50"))
    _checkRest(more[1:], rest)
    return MTLSServerEndpoint(
        reactor, _number("port", port), identity, interface, backlog
    )


def parseClient(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MTLSClientEndpoint:
    """
    The endpoint for C{mtls:HOST:PORT:certificate=…:trustRoots=…} and so on.

    @raise ConfigError: there is something wrong with the string or the files.
    """
    if len(args) < 2 or not args[0]:
        raise ConfigError("mtls: needs a host and a port")
    name = options.get("peer", "")
    if "," in name:
        raise ConfigError("peer= of a client is one name, which replaces the host")
    identity, rest = parseIdentity({**options, "peer": name or args[0]})
    # Names are compared as clients of TLS do it, wildcards and all.
    identity = replace(identity, peers=frozenset())
    timeout = _number("timeout", rest.pop("timeout", f"{TIMEOUT:g}"))
    _checkRest(args[2:], rest)
    host, port = args[0], _number("port", args[1])
    return MTLSClientEndpoint(reactor, host, port, identity, name, timeout)


def _number(option: str, text: str) -> int:
    if re.fullmatch(r"\d{1,5}", text, re.ASCII) and int(text) < 65536:
        return int(text)
    raise ConfigError(f"{option} must be a whole number up to 65535, not {text!r}")


def _checkRest(args: Sequence[str], options: Mapping[str, str]) -> None:
    if args:
        raise ConfigError(f"too many parts: {':'.join(args)} (write a colon as \\:)")
    if options:
        raise ConfigError(f"unknown option {min(options)}")
