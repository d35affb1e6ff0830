"""
Tests of what a transport must do to pass for a TCP connection: a kit to run any
transport through.

The tests are classes of L{unittest}, for any runner.  Say how connections are
made, and put what comes out into a module of tests::

    from twisted_mux.testing import SessionPair
    from twisted_mux.testing.conformance import StreamConnections, casesFor

    globals().update(
        casesFor("Smux2", lambda: StreamConnections(SessionPair("smux2")))
    )

A transport that is not a stream has a class of L{Connections} of its own.

The tests expect what L{twisted.internet.abstract.FileDescriptor} does, since
that is what existing protocols were written against; run with
L{MemoryConnections}, which are nothing else, they are tested themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted_mux.testing.conformance.base import (
    Connections,
    HalfCloser,
    MemoryConnections,
    Producer,
    Recorder,
    StreamConnections,
    TransportTestsBase,
)
from twisted_mux.testing.conformance.closing import ClosingTests
from twisted_mux.testing.conformance.half_close import HalfCloseTests
from twisted_mux.testing.conformance.producers import ProducerTests
from twisted_mux.testing.conformance.reading import ReadingTests, SetUpTests
from twisted_mux.testing.conformance.reentrancy import ReentrancyTests
from twisted_mux.testing.conformance.writing import WritingTests

__all__ = [
    "Connections",
    "HalfCloser",
    "MemoryConnections",
    "Producer",
    "Recorder",
    "StreamConnections",
    "TransportTestsBase",
    "casesFor",
    "kit",
]

#: The classes of tests; they are not to be run as they are.
kit: tuple[type[TransportTestsBase], ...] = (
    SetUpTests,
    ReadingTests,
    WritingTests,
    ProducerTests,
    ClosingTests,
    HalfCloseTests,
    ReentrancyTests,
)


def casesFor(
    name: str,
    makeConnections: Callable[[], Connections],
    classes: tuple[type[TransportTestsBase], ...] = kit,
) -> dict[str, type[TransportTestsBase]]:
    """
    The tests for one kind of transport.

    @param name: what their names begin with.
    @param makeConnections: called for each test.
    @return: the classes by name.
    """
    return {
        f"{name}{each.__name__}": type(
            f"{name}{each.__name__}",
            (each,),
            {
                "__doc__": each.__doc__,
                "makeConnections": staticmethod(makeConnections),
            },
        )
        for each in classes
    }
