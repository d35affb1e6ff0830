"""
The endpoint behind C{socks5:}, and its strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from twisted_mux.errors import ConfigError
from twisted_mux.interfaces import IServiceEndpoint
from twisted_mux.socks.request import Credentials
from twisted_mux.socks.service import Service, ServiceAddress
from twisted_mux.socks.targets import Address, AllowList

__all__ = ["TIMEOUT", "SocksEndpoint", "parseClient"]

#: Seconds to find and to reach a target.
TIMEOUT = 30.0


def tcpEndpoint(
    reactor: Any, address: Address, port: int, timeout: float
) -> IStreamClientEndpoint:
    """
    How targets are connected to.
    """
    kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(reactor, str(address), port, timeout)
    return endpoint


@implementer(IServiceEndpoint)
class SocksEndpoint:
    """
    A SOCKS server for each connection.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        allow: AllowList,
        credentials: Credentials | None = None,
        timeout: float = TIMEOUT,
        endpointFor: Callable[
            [Any, Address, int, float], IStreamClientEndpoint
        ] = tcpEndpoint,
    ) -> None:
        """
        @param credentials: what clients have to know, if anything.
        @param timeout: seconds to find and to reach a target.
        @param endpointFor: how to connect to an address, within how many seconds.
        """
        self.reactor = reactor
        self.allow = allow
        self.credentials = credentials
        self.timeout = timeout
        self.endpointFor = endpointFor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.  The protocol is connected at once; it may write,
        and register a producer, but a push producer only.
        """
        return self.connectService(protocolFactory, self._complain, _nothing)

    def _complain(self, why: str) -> None:
        self._log.warn("socks5: {why}", why=why)

    def connectService(
        self,
        protocolFactory: IProtocolFactory,
        complain: Callable[[str], None],
        ready: Callable[[], None],
    ) -> Deferred[IProtocol]:
        """
        See L{IServiceEndpoint}.
        """
        protocol = protocolFactory.buildProtocol(ServiceAddress())
        if protocol is None:
            return fail(ConnectError(string="nobody wants it"))
        Service(self, protocol, complain, ready).begin()
        return succeed(protocol)


def _nothing() -> None:
    """
    Nobody wants to know.
    """


def parseClient(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> SocksEndpoint:
    """
    The endpoint for C{socks5:allow=…:user=…:password=…:timeout=…}.

    @raise ConfigError: it makes no sense.
    """
    rest = dict(options)
    if any(args):
        raise ConfigError(
            f"socks5: takes no {':'.join(args)!r}: write a colon as \\:, as in "
            "allow=*\\:443"
        )
    allow = AllowList(rest.pop("allow", "*"))
    user, password = rest.pop("user", None), rest.pop("password", None)
    credentials = None
    if user is not None or password is not None:
        if not user or not password:
            raise ConfigError("user= and password= go together")
        credentials = Credentials(user.encode(), password.encode())
        if max(len(credentials.user), len(credentials.password)) > 255:
            raise ConfigError("user= and password= have 255 bytes at most")
    text = rest.pop("timeout", f"{TIMEOUT:g}")
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
        raise ConfigError(f"timeout= must be a number of seconds, not {text!r}")
    if rest:
        raise ConfigError(f"unknown option {min(rest)}")
    return SocksEndpoint(reactor, allow, credentials, float(text))
