"""
What twisted_mux adds to Twisted by name: the endpoint strings C{mux:…}, on the
server's side and on the client's.

Twisted imports this module whenever it looks for a plugin of any kind, in every
program of an environment where twisted_mux is installed.  So nothing of
twisted_mux is imported before it is asked for, and never a reactor.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import (
    IReactorCore,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

__all__ = ["muxClientParser", "muxServerParser"]


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _ServerParser:
    """
    C{mux:CARRIER:option=value…} for L{twisted.internet.endpoints.serverFromString}.

    @ivar prefix: See L{IStreamServerEndpointStringParser}.
    """

    prefix = "mux"

    def parseStreamServer(
        self, reactor: IReactorCore, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """
        See L{twisted_mux.endpoints.parseServer}.
        """
        from twisted_mux.endpoints import parseServer

        return parseServer(
            reactor, cast(tuple[str, ...], args), cast(dict[str, str], kwargs)
        )


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _ClientParser:
    """
    C{mux:CARRIER:option=value…} for L{twisted.internet.endpoints.clientFromString}.

    @ivar prefix: See L{IStreamClientEndpointStringParserWithReactor}.
    """

    prefix = "mux"

    def parseStreamClient(
        self, reactor: IReactorCore, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """
        See L{twisted_mux.endpoints.parseClient}.
        """
        from twisted_mux.endpoints import parseClient

        return parseClient(
            reactor, cast(tuple[str, ...], args), cast(dict[str, str], kwargs)
        )


muxServerParser = _ServerParser()
muxClientParser = _ClientParser()
