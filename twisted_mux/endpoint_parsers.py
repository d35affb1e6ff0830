"""
From what Twisted makes of an endpoint string to one of L{twisted_mux.endpoints}, of
L{twisted_mux.mtls} or of L{twisted_mux.socks}: what the plugin calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from twisted_mux.endpoint_strings import Kind, MuxString, parseString
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.errors import ConfigError
from twisted_mux.masking import masked, maskedIn
from twisted_mux.sharing import sharedSource

__all__ = [
    "parseClient",
    "parseDial",
    "parseListen",
    "parseMTLSClient",
    "parseMTLSServer",
    "parseServer",
    "parseSocks",
]

E = TypeVar("E")


def parseServer(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxServerEndpoint:
    """
    The endpoint for C{mux:} as a server.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.SERVER, args, options)
    carrier = _carrier(serverFromString, reactor, parsed)
    return MuxServerEndpoint(reactor, carrier, **_common(reactor, Kind.SERVER, parsed))


def parseClient(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxClientEndpoint:
    """
    The endpoint for C{mux:} as a client.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.CLIENT, args, options)
    return MuxClientEndpoint(
        reactor,
        _carrier(clientFromString, reactor, parsed),
        idle=parsed.idle,
        carriers=parsed.carriers,
        name=parsed.name,
        address=parsed.address,
        **_common(reactor, Kind.CLIENT, parsed),
    )


def parseDial(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxDialEndpoint:
    """
    The endpoint for C{mux-dial:}.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.DIAL, args, options)
    return MuxDialEndpoint(
        reactor,
        _carrier(clientFromString, reactor, parsed),
        idle=parsed.idle,
        carriers=parsed.carriers,
        **_common(reactor, Kind.DIAL, parsed),
    )


def parseListen(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxListenEndpoint:
    """
    The endpoint for C{mux-listen:}.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.LISTEN, args, options)
    return MuxListenEndpoint(
        reactor,
        _carrier(serverFromString, reactor, parsed),
        wait=parsed.wait,
        name=parsed.name,
        address=parsed.address,
        **_common(reactor, Kind.LISTEN, parsed),
    )


def parseMTLSServer(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> IStreamServerEndpoint:
    """
    The endpoint for C{mtls:} as a server.

    @raise ConfigError: there is something wrong with the string or its files, or the
        libraries for TLS are not there.
    """
    parse: Callable[..., IStreamServerEndpoint] = _mtls().parseServer
    return parse(reactor, args, options)


def parseMTLSClient(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> IStreamClientEndpoint:
    """
    The endpoint for C{mtls:} as a client.

    @raise ConfigError: as with L{parseMTLSServer}.
    """
    parse: Callable[..., IStreamClientEndpoint] = _mtls().parseClient
    return parse(reactor, args, options)


def _mtls() -> Any:
    try:
        from twisted_mux import mtls
    except ImportError as error:
        raise ConfigError(f"mtls: needs twisted-mux[tls]: {error}") from error
    return mtls


def parseSocks(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> IStreamClientEndpoint:
    """
    The endpoint for C{socks5:}.

    @raise ConfigError: there is something wrong with the string.
    """
    from twisted_mux.socks.endpoint import parseClient as parse

    return parse(reactor, args, options)


def _common(reactor: Any, kind: Kind, parsed: MuxString) -> dict[str, Any]:
    """
    What all kinds have: the wire, the role, the configuration, the protocol, and
    whom they share with.
    """
    key = (kind.dials, *parsed.sharedBy)
    return {
        "wire": parsed.wire,
        "role": parsed.role,
        "config": parsed.config,
        "protocol": parsed.protocol,
        "negotiate": parsed.negotiate,
        "_sharing": lambda make: sharedSource(reactor, key, make),
        "_label": masked(parsed.carrier),
    }


def _carrier(parse: Callable[[Any, str], E], reactor: Any, parsed: MuxString) -> E:
    try:
        return parse(reactor, parsed.carrier)
    except Exception as error:
        # Whatever a kind's parser does with what it does not understand: ssl: reads
        # files, and asks OpenSSL about them.
        why = maskedIn(" ".join(str(error).split())) or type(error).__name__
        raise ConfigError(f"carrier {masked(parsed.carrier)!r}: {why}") from error
