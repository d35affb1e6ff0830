"""
What twisted_mux adds to Twisted by name: the endpoint strings C{mux:…} of servers
and of clients, C{mux-dial:…} of servers and C{mux-listen:…} of clients, C{mtls:…} of both
and C{socks5:…} of clients; and the service C{mux} for C{twist} and C{twistd}.

Twisted imports this module whenever it looks for a plugin of any kind, in every
program of an environment where twisted_mux is installed.  So nothing of
twisted_mux is imported before it is asked for, and never a reactor.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import (
    IReactorCore,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

__all__ = [
    "mtlsClientParser",
    "mtlsServerParser",
    "muxClientParser",
    "muxDialParser",
    "muxListenParser",
    "muxServerParser",
    "muxService",
    "socksClientParser",
]


class _Parser:
    """
    One kind of strings.

    @ivar prefix: what they start with.
    """

    def __init__(self, prefix: str, function: str) -> None:
        """
        @param function: what parses them, in L{twisted_mux.endpoint_parsers}.
        """
        self.prefix = prefix
        self._function = function

    def _parse(
        self, reactor: object, args: tuple[object, ...], options: dict[str, object]
    ) -> Any:
        from twisted_mux import endpoint_parsers

        return getattr(endpoint_parsers, self._function)(reactor, args, options)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _ServerParser(_Parser):
    """
    Strings for L{twisted.internet.endpoints.serverFromString}.
    """

    # A string may have keywords of any name, these two among them.
    def parseStreamServer(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """
        See L{IStreamServerEndpointStringParser}.
        """
        endpoint: IStreamServerEndpoint = self._parse(reactor, args, kwargs)
        return endpoint


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _ClientParser(_Parser):
    """
    Strings for L{twisted.internet.endpoints.clientFromString}.
    """

    # A string may have keywords of any name, these two among them.
    def parseStreamClient(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """
        See L{IStreamClientEndpointStringParserWithReactor}.
        """
        endpoint: IStreamClientEndpoint = self._parse(reactor, args, kwargs)
        return endpoint


muxServerParser = _ServerParser("mux", "parseServer")
muxClientParser = _ClientParser("mux", "parseClient")
muxDialParser = _ServerParser("mux-dial", "parseDial")
muxListenParser = _ClientParser("mux-listen", "parseListen")
mtlsServerParser = _ServerParser("mtls", "parseMTLSServer")
mtlsClientParser = _ClientParser("mtls", "parseMTLSClient")
socksClientParser = _ClientParser("socks5", "parseSocks")
muxService = ServiceMaker(
    "mux", "twisted_mux.tap", "Tunnels over multiplexed connections.", "mux"
)
