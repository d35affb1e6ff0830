"""
What a session makes of its carrier's transport, on real sockets and without a
reactor that runs: a round of it is C{doWrite} when the connection waits for that.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux import carrier as carrierModule
from twisted_mux.carrier import Carrier, SocketCarrier, carrierOf

BURST = 256 * 1024
READ_SIZE = 256 * 1024
LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
KIB = 1024


class Producer:
    """
    What a session is to its carrier.

    @ivar more: called when the carrier has room.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.more: Callable[[], None] = lambda: None

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")
        self.more()

    def stopProducing(self) -> None:
        self.events.append("stop")


class Link:
    """
    A connection of Twisted's over real TCP, and its peer's socket.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        """
        @param host: where it comes from.
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            # Not growing, so that 4 MiB are always more than both ends take.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * KIB)
            self.socket = socket.create_connection(
                server.getsockname(), source_address=(host, 0)
            )
            self.peer, _ = server.accept()
        self.peer.setblocking(False)
        self.reactor = MemoryReactorClock()
        self.protocol = Protocol()
        self.connection = Connection(
            self.socket, self.protocol, cast(Any, self.reactor)
        )
        self.connection.connected = True
        self.protocol.transport = cast(Any, self.connection)
        self.producer = Producer()
        self.sends: list[int] = []

    def carry(self, **arguments: Any) -> SocketCarrier:
        """
        The carrier that it makes, ready to write.
        """
        carrier = carrierOf(
            cast(ITransport, self.connection),
            cast(Any, self.producer),
            BURST,
            arguments.get("readSize", READ_SIZE),
            self.reactor.seconds,
        )
        assert isinstance(carrier, SocketCarrier)
        carrier.start()
        self.turn()
        assert not carrier.full
        self.producer.events.clear()
        return carrier

    @property
    def waiting(self) -> bool:
        """
        Has the connection asked to be told when its socket can be written to?
        """
        return self.connection in self.reactor.getWriters()

    def turn(self) -> object:
        """
        A round of the reactor.
        """
        return self.connection.doWrite() if self.waiting else None

    def received(self) -> bytes:
        """
        What has come to the peer, all of it.
        """
        data = bytearray()
        with suppress(BlockingIOError):
            while chunk := self.peer.recv(2**20):
                data += chunk
        return bytes(data)

    def all(self, size: int) -> bytes:
        """
        That many bytes, however many rounds it takes.
        """
        data = b""
        while len(data) < size:
            self.turn()
            assert select.select([self.peer], [], [], 5)[0], len(data)
            data += self.received()
        return data

    @property
    def backlog(self) -> int:
        """
        How much unsent data the kernel takes.
        """
        return self.socket.getsockopt(socket.IPPROTO_TCP, LOWAT)

    def close(self) -> None:
        """
        Close both ends.
        """
        self.peer.close()
        self.socket.close()


@pytest.fixture
def link() -> Iterator[Link]:
    """
    A connection.
    """
    link = Link()
    yield link
    link.close()


def pieces(size: int, each: int) -> list[Any]:
    """
    So many bytes in pieces, no two of which are alike.
    """
    return [
        bytes([number % 251]) * min(each, size - number * each)
        for number in range(-(-size // each))
    ]


# Writing.


def test_atOnce(link: Link) -> None:
    """
    What the kernel takes is sent there and then: nothing waits for the reactor.
    """
    carrier = link.carry()
    carrier.write([b"head", memoryview(b"body")], 8)
    assert link.received() == b"headbody"
    assert not link.waiting
    assert not carrier.full
    assert link.producer.events == []


@pytest.mark.parametrize("each", [64, 4096, 4097, 32 * KIB], ids=str)
def test_partly(link: Link, each: int) -> None:
    """
    What the kernel does not take waits in the connection, behind which nothing
    more is wanted; it all arrives, in order, joined or not.
    """
    carrier = link.carry()
    data = pieces(4 * 2**20, each)
    carrier.write(data[:-1], sum(map(len, data[:-1])))
    assert carrier.full
    assert link.waiting
    assert link.producer.events == ["pause"]
    # Somebody who writes all the same (a session's last words) comes behind it.
    carrier.write(data[-1:], len(data[-1]))
    assert link.producer.events == ["pause"]
    assert link.all(4 * 2**20) == b"".join(data)
    link.turn()
    assert link.producer.events == ["pause", "resume"]
    assert not link.waiting


def test_manyPieces(link: Link) -> None:
    """
    More large pieces than the system takes in a call are no error.
    """
    carrier = link.carry()
    data = pieces(1100 * 5000, 5000)
    carrier.write(data, 1100 * 5000)
    assert link.all(1100 * 5000) == b"".join(data)


def test_nothingTaken(link: Link) -> None:
    """
    A socket that takes nothing at all has everything wait, joined or not.
    """
    for each in (64, 32 * KIB):
        carrier = link.carry()
        # The kernel is filled up behind the carrier's back.
        filled = 0
        with suppress(BlockingIOError):
            while sent := link.socket.send(bytes(64 * KIB)):
                filled += sent
        data = pieces(64 * KIB, each)
        carrier.write(data, 64 * KIB)
        assert carrier.full
        assert link.all(filled + 64 * KIB)[filled:] == b"".join(data)
        link.connection.unregisterProducer()


def test_moreWhenEmpty(link: Link) -> None:
    """
    The session is asked for more when the connection's buffer has got empty, not
    before; bulk data goes on from there.
    """
    carrier = link.carry()
    left = [pieces(256 * KIB, 32 * KIB) for _ in range(20)]
    total = b"".join(b"".join(batch) for batch in left)

    def more() -> None:
        while left and not carrier.full:
            assert not link.connection.dataBuffer
            carrier.write(left.pop(0), 256 * KIB)

    link.producer.more = more
    more()
    assert carrier.full
    assert link.all(len(total)) == total
    assert not left


def test_whatWasWrittenBefore(link: Link) -> None:
    """
    What somebody else has written to the connection before goes first.
    """
    link.connection.write(b"PROXY\r\n")
    carrier = carrierOf(
        cast(ITransport, link.connection),
        cast(Any, link.producer),
        BURST,
        READ_SIZE,
        link.reactor.seconds,
    )
    carrier.start()
    assert carrier.full
    carrier.write([b"frame"], 5)
    assert link.received() == b""
    assert link.all(12) == b"PROXY\r\nframe"
    assert not carrier.full


@pytest.mark.parametrize("each", [64, 32 * KIB], ids=str)
def test_error(link: Link, each: int) -> None:
    """
    The connection finds out itself that its socket is broken.
    """
    carrier = link.carry()
    link.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    link.peer.close()
    # The reset's number is taken by the first.
    link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    carrier.write(pieces(64 * KIB, each), 64 * KIB)
    assert carrier.full
    assert isinstance(link.turn(), Exception)


def test_tlsMeanwhile(link: Link) -> None:
    """
    A connection that has begun TLS gets everything by C{write}.
    """
    carrier = link.carry()
    written = StringTransport()
    cast(Any, link.connection).TLS = True
    cast(Any, link.connection).write = written.write
    carrier.write([b"secret"], 6)
    assert written.value() == b"secret"
    assert link.received() == b""


def test_lost(link: Link) -> None:
    """
    A connection that is lost says so, and gets nothing more.
    """
    carrier = link.carry()
    link.connection.connectionLost(Failure(ConnectionLost()))
    assert link.producer.events == ["stop"]
    assert carrier.full
    carrier.write([b"late"], 4)
    assert link.received() == b""


def test_aborted(link: Link) -> None:
    """
    Nothing is sent on a connection that is being aborted.
    """
    carrier = link.carry()
    carrier.abort()
    carrier.write([b"late"], 4)
    assert link.received() == b""


# What the kernel holds.


def fill(link: Link, carrier: SocketCarrier, seconds: float) -> None:
    """
    Let the kernel get full, and take that long until it can take more.
    """
    written = 0
    while not carrier.full:
        # How much the kernel takes is its affair.
        carrier.write([bytes(2**20)], 2**20)
        written += 2**20
    link.reactor.advance(seconds)
    link.all(written)
    link.turn()
    assert not carrier.full


needsTheOption = pytest.mark.skipif(
    carrierModule._NOTSENT_LOWAT is None, reason="the platform has no such option"
)


@needsTheOption
def test_backlog(link: Link) -> None:
    """
    The kernel is given little that it can't send, more while it is quick, up to a
    bound, and less again when it is not.
    """
    carrier = link.carry()
    assert link.connection.getTcpNoDelay()
    assert link.backlog == 128 * KIB
    seen = []
    for _ in range(5):
        fill(link, carrier, 0)
        seen.append((link.backlog // KIB, carrier.batch // KIB))
    assert seen == [(256, 128), (512, 256), (1024, 256), (1024, 256), (1024, 256)]
    fill(link, carrier, 0.002)
    assert link.backlog == 1024 * KIB
    seen = []
    for _ in range(5):
        fill(link, carrier, 0.005)
        seen.append((link.backlog // KIB, carrier.batch // KIB))
    assert seen == [(512, 256), (256, 128), (128, 64), (128, 64), (128, 64)]


@needsTheOption
def test_mixed(link: Link) -> None:
    """
    A small message that goes before bulk data keeps both the kernel's part and a
    turn's small for a while.
    """
    carrier = link.carry()
    assert carrier.burst == BURST
    fill(link, carrier, 0)
    assert link.backlog == 256 * KIB
    carrier.overtaken(link.reactor.seconds())
    assert link.backlog == 64 * KIB
    assert carrier.burst == carrier.batch == 32 * KIB
    fill(link, carrier, 0)
    assert link.backlog == 64 * KIB
    link.reactor.advance(0.06)
    carrier.overtaken(link.reactor.seconds())
    link.reactor.advance(0.06)
    fill(link, carrier, 0)
    assert carrier.burst == carrier.batch == 32 * KIB
    link.reactor.advance(0.1)
    fill(link, carrier, 0)
    assert carrier.burst == BURST
    assert link.backlog == 128 * KIB


@needsTheOption
def test_mixedNoMore(link: Link) -> None:
    """
    That ends as well if the kernel never gets full.
    """
    carrier = link.carry()
    carrier.overtaken(link.reactor.seconds())
    carrier.write([bytes(32 * KIB)], 32 * KIB)
    link.reactor.advance(0.11)
    # That says nothing: it is not bulk data.
    carrier.write([bytes(64)], 64)
    assert carrier.burst == carrier.batch == 32 * KIB
    carrier.write([bytes(32 * KIB)], 32 * KIB)
    assert carrier.burst == BURST
    assert link.backlog == 128 * KIB
    assert len(link.all(64 * KIB + 64)) == 64 * KIB + 64


@pytest.fixture
def yields(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """
    Has an item for each time that the processor was left to others.
    """
    times: list[None] = []
    monkeypatch.setattr(carrierModule, "_yieldProcessor", lambda: times.append(None))
    return times


def write(carrier: Carrier, size: int) -> None:
    """
    Write so many bytes.
    """
    carrier.write([bytes(size)], size)


def test_peerGetsTheProcessor(link: Link, yields: list[None]) -> None:
    """
    A peer of the same machine gets a turn after each batch of bulk data, as long as small
    messages go before it.
    """
    carrier = link.carry()
    write(carrier, 32 * KIB)
    assert not yields
    carrier.overtaken(link.reactor.seconds())
    for count in (1, 2):
        write(carrier, 64)
        write(carrier, 32 * KIB)
        assert len(yields) == count
        link.received()
    link.reactor.advance(1)
    write(carrier, 32 * KIB)
    yields.clear()
    link.received()
    write(carrier, 32 * KIB)
    assert not yields


def test_noProcessorForWhoWaits(link: Link, yields: list[None]) -> None:
    """
    Not if the kernel is full, as the process waits anyway.
    """
    carrier = link.carry()
    carrier.overtaken(link.reactor.seconds())
    write(carrier, 4 * 2**20)
    assert link.producer.events == ["pause"]
    assert not yields


def test_otherMachinesHaveTheirOwn(yields: list[None]) -> None:
    """
    For a peer of another machine nothing is given up.
    """
    link = Link("127.0.0.2")
    carrier = link.carry()
    carrier.overtaken(link.reactor.seconds())
    write(carrier, 32 * KIB)
    assert not yields
    link.close()


def test_goneBefore(link: Link) -> None:
    """
    A connection whose peer has gone before the session began, so that nobody can tell
    any more where that was, makes a carrier all the same.
    """
    link.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.peer.close()
    with pytest.raises(OSError):
        link.socket.getpeername()
    carrier = carrierOf(
        cast(ITransport, link.connection),
        cast(Any, link.producer),
        BURST,
        READ_SIZE,
        link.reactor.seconds,
    )
    assert isinstance(carrier, SocketCarrier)
    assert not carrier.full


def test_peerBehindAUnixSocket(yields: list[None]) -> None:
    """
    A Unix socket leads to the same machine.
    """
    mine, other = socket.socketpair()
    connection = Connection(mine, Protocol(), cast(Any, MemoryReactorClock()))
    connection.connected = True
    carrier = carrierOf(
        cast(ITransport, connection), cast(Any, Producer()), BURST, READ_SIZE, lambda: 0
    )
    carrier.start()
    connection.doWrite()
    carrier.overtaken(0)
    write(carrier, 32 * KIB)
    assert len(yields) == 1
    mine.close()
    other.close()


def test_withoutTheOption(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the platform has no such option, or its kernel does not know it, all goes
    without.
    """
    # Some kernels take megabytes at once where nothing bounds that.
    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * KIB)
    monkeypatch.setattr(carrierModule, "_NOTSENT_LOWAT", None)
    carrier = link.carry()
    fill(link, carrier, 0)
    carrier.overtaken(link.reactor.seconds())
    link.connection.unregisterProducer()
    # That number is no option.
    monkeypatch.setattr(carrierModule, "_NOTSENT_LOWAT", 12345)
    carrier = link.carry()
    fill(link, carrier, 0)
    carrier.overtaken(link.reactor.seconds())


# Reading.


def test_largerReads(link: Link) -> None:
    """
    While chunks are as large as they can be larger ones are asked for, up to the
    limit, and no more once they are small.
    """
    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
    carrier = link.carry()
    plain = link.connection.bufferSize
    assert carrier.fullChunk == plain
    assert carrier.smallChunk == 0
    sizes = []
    while carrier.fullChunk != float("inf"):
        carrier.readMore()
        sizes.append(link.connection.bufferSize)
    assert sizes == [2 * plain, 4 * plain]
    assert sizes[-1] == READ_SIZE
    assert carrier.smallChunk == READ_SIZE // 4
    carrier.readLess()
    assert link.connection.bufferSize == plain
    assert carrier.fullChunk == plain
    assert carrier.smallChunk == 0


@pytest.mark.parametrize("readSize", [1, 64 * KIB], ids=str)
def test_noLargerReads(link: Link, readSize: int) -> None:
    """
    Never less than what Twisted reads, and never more if that is the limit.
    """
    plain = link.connection.bufferSize
    carrier = link.carry(readSize=readSize)
    assert carrier.fullChunk == float("inf")
    assert carrier.smallChunk == 0
    assert link.connection.bufferSize == plain


# Any other transport.


@implementer(ITCPTransport)
class Tuned(StringTransport):
    """
    Something that says it is TCP.
    """

    noDelay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.noDelay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        raise AssertionError("not called")

    def getTcpKeepAlive(self) -> bool:
        raise AssertionError("not called")

    def loseWriteConnection(self) -> None:
        raise AssertionError("not called")


def plain(transport: Any, producer: Any) -> Carrier:
    """
    The carrier of that, which is none of Twisted's own.
    """
    carrier = carrierOf(transport, producer, BURST, READ_SIZE, lambda: 0)
    assert type(carrier) is Carrier
    carrier.start()
    return carrier


def test_anyTransport() -> None:
    """
    A batch is one write, the session is a push producer, and nothing is tuned but
    what there is an interface for.
    """
    transport = Tuned()
    producer = Producer()
    carrier = plain(transport, producer)
    assert transport.noDelay
    assert transport.streaming
    assert transport.producer is producer
    writes: list[bytes] = []
    cast(Any, transport).write = writes.append
    carrier.write([b"one", memoryview(b"two")], 6)
    assert writes == [b"onetwo"]
    assert carrier.burst == BURST
    carrier.overtaken(0)
    assert carrier.burst == BURST
    assert carrier.fullChunk == float("inf")
    carrier.readMore()
    carrier.readLess()
    assert carrier.smallChunk == 0


def test_reading() -> None:
    """
    A carrier that is not read is read again when it is closed, since it has to
    notice that the peer closes.
    """
    transport = StringTransport()
    carrier = plain(transport, Producer())
    carrier.read(False)
    assert not carrier.reading
    assert transport.producerState == "paused"
    carrier.close()
    assert transport.producerState == "producing"
    assert transport.disconnecting
    assert transport.producer is None


def test_abortingWhatCant() -> None:
    """
    A transport that can't be aborted is closed.
    """
    transport = StringTransport()
    cast(Any, transport).abortConnection = None
    carrier = plain(transport, Producer())
    carrier.abort()
    assert transport.disconnecting
    assert transport.producer is None
