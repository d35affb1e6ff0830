"""
What one stream gets out of a long link, and how wide windows become: in virtual time,
where the machine's speed makes no difference.

Run it: C{python -m tests.benchmarks.virtual_link}.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import cast

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from twisted_mux.config import MuxConfig
from twisted_mux.testing import Link, SessionPair
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Credit

#: Bytes per second: 1 Gbit/s.
RATE = 125_000_000
#: Milliseconds.
ROUND_TRIPS = (1, 20, 100, 300)
#: Virtual seconds in which windows grow, and those that are measured.
GROWTH = 2.0
SECONDS = 0.5
#: For slow and steady streams: every so many virtual seconds they do something,
EVERY = 0.1
#: and slow ones so often.
TIMES = 50
#: Bytes that arrive together; in packets it would take minutes.
SEGMENT = 16 * 1024
BLOCK = b"b" * 65536


def creditWires() -> tuple[str, ...]:
    """
    The wires on which a receiver grants credit.
    """
    return tuple(
        wire
        for wire in wireNames()
        if codecNamed(wire).capabilities.credit is not Credit.NONE
    )


class Sink(Protocol):
    """
    Counts bytes.

    @ivar count: how many there were.
    """

    count = 0

    def dataReceived(self, data: bytes) -> None:
        """
        Some more.
        """
        self.count += len(data)


class Slow(Sink):
    """
    Takes a chunk now and then.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        A chunk, and then none until L{goOn}.
        """
        super().dataReceived(data)
        cast(IPushProducer, self.transport).pauseProducing()

    def goOn(self) -> None:
        """
        Take the next.
        """
        cast(IPushProducer, self.transport).resumeProducing()


class Message(Protocol):
    """
    Sends a message now and then.
    """

    def goOn(self) -> None:
        """
        Send one.
        """
        cast(ITransport, self.transport).write(b"m" * 64)


@implementer(IPushProducer)
class Bulk(Protocol):
    """
    Writes for as long as it may.
    """

    def connectionMade(self) -> None:
        """
        Begin.
        """
        cast(IConsumer, self.transport).registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """
        Write until there is enough.
        """
        self._paused = False
        while not self._paused:
            cast(ITransport, self.transport).write(BLOCK)

    def pauseProducing(self) -> None:
        """
        There is enough.
        """
        self._paused = True

    stopProducing = pauseProducing


def linked(wire: str, roundTrip: float, config: MuxConfig | None = None) -> SessionPair:
    """
    Two sessions at the ends of a link of 1 Gbit/s.
    """
    return SessionPair(
        wire, clientConfig=config, link=Link(roundTrip / 2, RATE, segment=SEGMENT)
    )


def windowOf(pair: SessionPair) -> int:
    """
    How wide the window is that the server gives to its only stream: what it has
    granted altogether, less what the reader has taken.
    """
    (stream,) = pair.server.engine.streams.values()
    return stream.receiveWindow


@dataclass(frozen=True)
class Throughput:
    """
    What came through.

    @ivar share: of the link's rate, once windows had time to grow.
    @ivar window: how wide the stream's window was then, in bytes.
    """

    share: float
    window: int


def throughput(wire: str, roundTrip: float) -> Throughput:
    """
    Send for all the link is worth.

    @param roundTrip: seconds.
    """
    pair = linked(wire, roundTrip)
    sink = Sink()
    pair.connect(Bulk(), sink)
    pair.advance(GROWTH)
    before = sink.count
    pair.advance(SECONDS)
    return Throughput((sink.count - before) / (RATE * SECONDS), windowOf(pair))


def slowWindow(wire: str, roundTrip: float) -> int:
    """
    The window of a stream whose reader takes far less than the link carries, after a
    while.
    """
    pair = linked(wire, roundTrip)
    slow = Slow()
    pair.connect(Bulk(), slow)
    for _ in range(TIMES):
        pair.advance(EVERY)
        slow.goOn()
    assert slow.count
    return windowOf(pair)


def steadyWindow(wire: str, roundTrip: float) -> int:
    """
    The window of a stream that has a few small messages every now and then, twice
    as much as its window altogether: it is never held up.
    """
    pair = linked(wire, roundTrip)
    sink, message = Sink(), Message()
    pair.connect(message, sink)
    pair.pump()
    while sink.count <= 2 * MuxConfig().window:
        for _ in range(100):
            message.goOn()
        pair.advance(EVERY)
    return windowOf(pair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", action="append", choices=wireNames())
    parser.add_argument("--round-trip", action="append", type=int, metavar="MS")
    arguments = parser.parse_args()
    for wire in arguments.wire or wireNames():
        for each in arguments.round_trip or ROUND_TRIPS:
            found = throughput(wire, each / 1000)
            print(
                f"{wire:8} {each:4} ms: {found.share:6.1%}, window {found.window:,}",
                flush=True,
            )
    for wire in creditWires():
        slow, steady = slowWindow(wire, 0.1), steadyWindow(wire, 0.1)
        print(f"{wire:8} window of a slow stream {slow:,}, of a steady one {steady:,}")


if __name__ == "__main__":
    main()
