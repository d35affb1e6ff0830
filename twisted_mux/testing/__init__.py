"""
Testing protocols on streams, in memory and in virtual time.

A protocol of one's own is tested as it would run, on a session over a carrier,
but without a network, without waiting, and the same way every time::

    from twisted_mux.testing import Link, SessionPair

    pair = SessionPair("yamux", link=Link(delay=0.05, rate=1_000_000))
    client, server = MyClient(), MyServer()
    pair.connect(client, server)
    pair.advance(1)
    assert server.greeted

L{SessionPair} has two sessions on one carrier, L{MemoryConnection} two plain
transports that behave as TCP's do, and L{Link} says what lies between them.
All of it happens on a L{VirtualClock}, when that is told to go on.
"""

from twisted_mux.testing.carriers import MemoryConnection, MemoryTransport
from twisted_mux.testing.clock import Restless, VirtualClock
from twisted_mux.testing.pipes import Link
from twisted_mux.testing.sessions import OneProtocol, SessionPair

__all__ = [
    "Link",
    "MemoryConnection",
    "MemoryTransport",
    "OneProtocol",
    "Restless",
    "SessionPair",
    "VirtualClock",
]
