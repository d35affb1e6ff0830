"""
The addresses of a name, through the reactor's resolver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from twisted_mux.socks.targets import Address, toAddress

__all__ = ["resolve"]


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self, done: Callable[[Sequence[Address]], None]) -> None:
        self._done = done
        self._found: dict[Address, None] = {}

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """
        See L{IResolutionReceiver}.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        See L{IResolutionReceiver}.
        """
        found = toAddress(getattr(address, "host", "").partition("%")[0])
        if found is not None:
            self._found[found] = None

    def resolutionComplete(self) -> None:
        """
        See L{IResolutionReceiver}.
        """
        self._done(tuple(self._found))


def resolve(
    reactor: Any,
    host: str,
    port: int,
    done: Callable[[Sequence[Address]], None],
) -> None:
    """
    Have C{done} called with the addresses of a name, each once, in the resolver's
    order; with none if it has none.  That can't be cancelled.
    """
    reactor.nameResolver.resolveHostName(
        _Receiver(done), host, port, [IPv4Address, IPv6Address], "TCP"
    )
