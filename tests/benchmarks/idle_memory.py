"""
What an idle stream costs: transport and engine state, without the protocol.

Counted by C{tracemalloc} over many streams opened on one session, so the
session's table is in it, and fragmentation of the heap is not.

Run it: C{python -m tests.benchmarks.idle_memory}.
"""

from __future__ import annotations

import argparse
import gc
import tracemalloc

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from tests.benchmarks.frame_cost import _Carrier, _NoSink
from twisted_mux.config import MuxConfig
from twisted_mux.protocol import MuxProtocol
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Role


class _One:
    """
    A factory that gives every stream the same protocol, so that protocols cost
    nothing.
    """

    def __init__(self) -> None:
        self.protocol = _Nothing()

    def doStart(self) -> None:
        pass

    doStop = doStart

    def buildProtocol(self, address: object) -> Protocol:
        return self.protocol


class _Nothing(Protocol):
    def makeConnection(self, transport: object) -> None:
        pass


def measure(wire: str, streams: int) -> float:
    """
    Bytes for one idle stream that has exchanged a few bytes each way.
    """
    codec = codecNamed(wire)
    reactor = Clock()
    mux = MuxProtocol(
        codec,
        Role.SERVER,
        MuxConfig(maxStreams=streams + 1),
        _One(),  # type: ignore[arg-type]
        reactor=reactor,
    )
    mux.makeConnection(_Carrier(reactor))
    peer = codec(Role.CLIENT, _NoSink(), 32768)
    supply = peer.keys()
    opens = b"".join(
        peer.encodeOpen(key, 262144, b"") + peer.payloadHeader(key, 5) + b"hello"
        for key in (next(supply) for _ in range(streams))
    )
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for start in range(0, len(opens), 65536):
        mux.dataReceived(opens[start : start + 65536])
        while mux.engine._unread:
            reactor.advance(0)
    reactor.advance(0)
    for stream in mux.engine.streams.values():
        stream.write(b"hello")
    reactor.advance(0)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(mux.engine.streams) == streams
    return (after - before) / streams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", action="append", choices=wireNames())
    parser.add_argument("--streams", type=int, default=10000)
    arguments = parser.parse_args()
    for wire in arguments.wire or wireNames():
        print(f"{wire:8} {measure(wire, arguments.streams):6.0f} bytes an idle stream")


if __name__ == "__main__":
    main()
