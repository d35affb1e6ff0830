"""
The end of one direction, through wrappers that know nothing of it.

Twisted asks the protocol of a connection whether it wants to be told that its peer has
ended its direction; if not, the connection is closed.  Where the protocol is wrapped, as
C{haproxy:} does it, the wrapper is asked, and Twisted's wrappers never say that they
want to be told, whatever they have in them.  A peer that sends all it has, ends, and
then reads would get nothing.

So the wrapper is made to say it here, once it is there.  There is no other place: it is
made within Twisted's endpoint, and looked at when the end comes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import alsoProvides

__all__ = ["hearOfEnds"]


def hearOfEnds(protocol: Any, transport: object) -> None:
    """
    Have a protocol told that its peer has ended its direction, also if its transport
    is a wrapper.

    TLS is a wrapper, too, but one that has no ends of one direction.

    @param protocol: it provides L{IHalfCloseableProtocol}, and its connection has just
        been made.
    """
    if (
        isinstance(transport, ProtocolWrapper)
        and not ISSLTransport.providedBy(transport)
        and not IHalfCloseableProtocol.providedBy(transport)
    ):
        wrapper: Any = transport
        wrapper.readConnectionLost = protocol.readConnectionLost
        wrapper.writeConnectionLost = protocol.writeConnectionLost
        alsoProvides(wrapper, IHalfCloseableProtocol)
