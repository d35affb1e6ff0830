"""
Many streams over one Twisted connection, each of them a full transport.

The names are looked up when they are first used, so that the layers below
Twisted (L{twisted_mux.wire}, L{twisted_mux.engine}) can be imported without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted_mux.address import MuxAddress as MuxAddress
    from twisted_mux.config import MuxConfig as MuxConfig
    from twisted_mux.endpoints import (
        MuxClientEndpoint as MuxClientEndpoint,
    )
    from twisted_mux.endpoints import (
        MuxDialEndpoint as MuxDialEndpoint,
    )
    from twisted_mux.endpoints import (
        MuxListenEndpoint as MuxListenEndpoint,
    )
    from twisted_mux.endpoints import (
        MuxServerEndpoint as MuxServerEndpoint,
    )
    from twisted_mux.errors import MuxError as MuxError
    from twisted_mux.errors import ProtocolError as ProtocolError
    from twisted_mux.errors import UsageError as UsageError
    from twisted_mux.factory import MuxFactory as MuxFactory
    from twisted_mux.negotiation import NamedClientEndpoint as NamedClientEndpoint
    from twisted_mux.negotiation import NamedProtocols as NamedProtocols
    from twisted_mux.protocol import MuxProtocol as MuxProtocol
    from twisted_mux.transport import StreamTransport as StreamTransport
    from twisted_mux.wire import wireNames as wireNames

_HOMES = {
    "MuxAddress": "address",
    "MuxClientEndpoint": "endpoints",
    "MuxConfig": "config",
    "MuxDialEndpoint": "endpoints",
    "MuxError": "errors",
    "MuxFactory": "factory",
    "MuxListenEndpoint": "endpoints",
    "MuxProtocol": "protocol",
    "MuxServerEndpoint": "endpoints",
    "NamedClientEndpoint": "negotiation",
    "NamedProtocols": "negotiation",
    "ProtocolError": "errors",
    "StreamTransport": "transport",
    "UsageError": "errors",
    "wireNames": "wire",
}

__all__ = [
    "MuxAddress",
    "MuxClientEndpoint",
    "MuxConfig",
    "MuxDialEndpoint",
    "MuxError",
    "MuxFactory",
    "MuxListenEndpoint",
    "MuxProtocol",
    "MuxServerEndpoint",
    "NamedClientEndpoint",
    "NamedProtocols",
    "ProtocolError",
    "StreamTransport",
    "UsageError",
    "wireNames",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
