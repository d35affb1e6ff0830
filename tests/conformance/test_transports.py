"""
The kit for transports, run on the streams of every wire, opened by either side;
and on plain connections in memory, which are Twisted's own transports, to test
the kit.
"""

from __future__ import annotations

from functools import partial

from twisted_mux.config import MuxConfig
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import (
    Connections,
    MemoryConnections,
    StreamConnections,
    casesFor,
)
from twisted_mux.wire import wireNames

# Where there is no credit, a reader that does not read holds less than the tests
# write.
CONFIG = MuxConfig(receiveBudget=1024 * 1024)


def streams(wire: str, byServer: bool) -> Connections:
    """
    Streams of a wire.
    """
    return StreamConnections(SessionPair(wire, clientConfig=CONFIG), byServer)


globals().update(casesFor("Memory", MemoryConnections))
for wire in wireNames():
    for opener in ("Client", "Server"):
        globals().update(
            casesFor(
                wire.capitalize() + opener, partial(streams, wire, opener == "Server")
            )
        )
