"""
What a session that is listened on calls itself, and how messages call addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IAddress
from zope.interface import implementer


@implementer(IAddress)
@dataclass(frozen=True)
class MuxAddress:
    """
    The address of a port on one live session, or on carriers that are dialled.

    Streams themselves answer C{getHost} and C{getPeer} with their carrier's
    addresses, since that is what existing protocols expect to find there.

    @ivar wire: the name of the session's wire protocol.
    @ivar carrier: the carrier's own address; C{None} while there is no carrier.
    """

    wire: str
    carrier: IAddress | None


def describeAddress(address: object) -> str:
    """
    An address, as messages call it: host and port, or what it says of itself; its
    kind if that is nothing, as with those of pipes.
    """
    host = getattr(address, "host", None)
    if host is None:
        kind = type(address)
        return kind.__name__ if kind.__repr__ is object.__repr__ else str(address)
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{getattr(address, 'port', '')}"
