"""
What a 64-byte frame costs in memory, without any carrier: in through codec,
engine and protocol, and out through transport, engine and codec.

The yardstick is a bare loop that unpacks the same headers and slices the same
payloads, timed in turn with the real thing in the same process, so that the
machine's speed and noise cancel out.

Run it: C{python -m tests.benchmarks.frame_cost}.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from struct import Struct

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from twisted_mux.config import MuxConfig
from twisted_mux.protocol import MuxProtocol
from twisted_mux.transport import StreamTransport
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Codec, Role

SIZE = 64
STREAMS = 100
#: What one read of a TCP carrier delivers at most.
CHUNK = 64 * 1024


class _Reactor(Clock):
    """
    A clock that does not start reactors.
    """


class _Carrier:
    """
    A transport that takes everything and keeps nothing.
    """

    def __init__(self, reactor: Clock) -> None:
        self.reactor = reactor
        self.sent = 0

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.sent += sum(map(len, pieces))

    def getPeer(self) -> IAddress | None:
        return None

    getHost = getPeer

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    unregisterProducer = loseConnection = abortConnection = pauseProducing = (
        resumeProducing
    ) = lambda self: None


class _Swallow(Protocol):
    def dataReceived(self, data: bytes) -> None:
        pass


class _Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class _NoSink:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def chunks(codec: type[Codec], keys: list[object], frames: int) -> list[bytes]:
    """
    What a peer that writes to all streams in turn sends, as a TCP carrier
    delivers it.
    """
    peer = codec(Role.CLIENT, _NoSink(), 32768)
    payload = b"x" * SIZE
    data = b"".join(
        peer.payloadHeader(keys[i % len(keys)], SIZE) + payload for i in range(frames)
    )
    return [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]


def session(
    codec: type[Codec], protocol: type[Protocol], streams: int = STREAMS
) -> tuple[MuxProtocol, _Carrier, list[object], Clock]:
    """
    A server's session with so many streams opened by its peer.
    """
    reactor = _Reactor()
    mux = MuxProtocol(
        codec,
        Role.SERVER,
        MuxConfig(keepAlive=0, keepAliveTimeout=0, maxStreams=streams),
        Factory.forProtocol(protocol),
        reactor=reactor,
    )
    carrier = _Carrier(reactor)
    mux.makeConnection(carrier)
    peer = codec(Role.CLIENT, _NoSink(), 32768)
    supply = peer.keys()
    keys = [next(supply) for _ in range(streams)]
    mux.dataReceived(b"".join(peer.encodeOpen(key, 262144, b"") for key in keys))
    while reactor.calls:
        reactor.advance(0)
    # As the reader of the bytes sees the keys.
    return mux, carrier, keys, reactor


def bare(data: list[bytes], header: Struct) -> float:
    """
    Seconds for a loop that does nothing but unpack and slice.
    """
    unpack = header.unpack_from
    size = header.size
    began = time.process_time()
    rest = b""
    for chunk in data:
        chunk = rest + chunk
        offset = 0
        end = len(chunk)
        while offset + size + SIZE <= end:
            unpack(chunk, offset)
            offset += size
            chunk[offset : offset + SIZE]
            offset += SIZE
        rest = chunk[offset:]
    return time.process_time() - began


def inward(wire: str, frames: int) -> tuple[float, list[bytes]]:
    """
    Seconds for that many frames in.
    """
    codec = codecNamed(wire)
    mux, _, keys, reactor = session(codec, _Swallow)
    data = chunks(codec, keys, frames)
    began = time.process_time()
    for chunk in data:
        mux.dataReceived(chunk)
    taken = time.process_time() - began
    reactor.advance(0)
    assert sum(s.bytesReceived for s in mux.engine.streams.values()) == frames * SIZE
    return taken, data


def echoed(wire: str, frames: int) -> tuple[float, list[bytes]]:
    """
    Seconds for that many frames in and, as their echo, out again.
    """
    codec = codecNamed(wire)
    mux, carrier, keys, reactor = session(codec, _Echo)
    # The peer never grants, so let there be enough for all.
    for stream in mux.engine.streams.values():
        stream.permit(2**30)
    data = chunks(codec, keys, frames)
    before = carrier.sent
    began = time.process_time()
    for chunk in data:
        mux.dataReceived(chunk)
    taken = time.process_time() - began
    reactor.advance(0)
    assert carrier.sent - before >= frames * SIZE
    return taken, data


def measure(wire: str, frames: int, rounds: int) -> dict[str, float]:
    """
    Medians, over rounds of A B A B: microseconds a frame and ratios to the bare
    loop.
    """
    header = Struct(">" + "B" * 20 if wire == "vtmux" else "<BBHI")
    if wire in ("yamux", "netmux"):
        header = Struct(">BBHII")
    into, both, ratios, ratiosBoth, yardsticks = [], [], [], [], []
    for _ in range(rounds):
        taken, data = inward(wire, frames)
        yardstick = bare(data, header)
        into.append(taken / frames * 1e6)
        ratios.append(taken / yardstick)
        taken, data = echoed(wire, frames)
        yardstick = bare(data, header)
        both.append(taken / frames * 1e6)
        ratiosBoth.append(taken / yardstick)
        yardsticks.append(yardstick / frames * 1e6)
    return {
        "in": statistics.median(into),
        "in ratio": statistics.median(ratios),
        "in and out": statistics.median(both),
        "in and out ratio": statistics.median(ratiosBoth),
        # What is left when nothing else ran meanwhile, in the best round of each.
        "in and out at best": min(both) / min(yardsticks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", action="append", choices=wireNames())
    parser.add_argument("--frames", type=int, default=50000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("wire     in µs  x bare  in+out µs  x bare")
    for wire in arguments.wire or wireNames():
        row = measure(wire, arguments.frames, arguments.rounds)
        print(
            f"{wire:8} {row['in']:5.2f}  {row['in ratio']:5.2f}   "
            f"{row['in and out']:9.2f}  {row['in and out ratio']:5.2f}"
        )


assert StreamTransport.__slots__  # no __dict__: see idle_memory

if __name__ == "__main__":
    main()
