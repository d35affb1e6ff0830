"""
Back-pressure and fairness, on every wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost

from twisted_mux.carrier import BATCH
from twisted_mux.config import MuxConfig
from twisted_mux.testing import Link, SessionPair
from twisted_mux.testing.conformance import Producer, Recorder
from twisted_mux.wire.base import Credit

KIB = 1024
MIB = 1024 * KIB

MakePair = Callable[..., SessionPair]


def connect(pair: SessionPair, server: Recorder | None = None) -> tuple[Any, Any]:
    """
    Two protocols on a new stream.
    """
    opener, accepter = Recorder(), Recorder() if server is None else server
    pair.connect(opener, accepter)
    pair.pump()
    return opener, accepter


def echo(recorder: Recorder) -> None:
    """
    Send back what came.
    """
    transport: Any = recorder.transport
    transport.write(recorder.data)
    recorder.received.clear()


def hasCredit(pair: SessionPair) -> bool:
    """
    Has the wire credit per stream?
    """
    return pair.client.engine.capabilities.credit is not Credit.NONE


# Readers that pause.


def test_pausedReaderStallsItself(pair: SessionPair) -> None:
    """
    A reader that pauses holds at most its window, where there is credit, and
    holds up nobody else; resumed, it gets everything.
    """
    if not hasCredit(pair):
        return
    slow, reader = connect(pair)
    quick, _ = connect(pair, Recorder(data=echo))
    reader.transport.pauseProducing()
    slow.transport.write(bytes(4 * MIB))
    pair.pump()
    held = reader.transport.engineStream.held
    assert 0 < held <= pair.server.config.window
    assert pair.server.statistics().bytesHeld <= 2 * pair.server.config.window
    assert pair.server.statistics().reading
    assert slow.transport.bytesSent == held
    for _ in range(3):
        quick.transport.write(b"x" * 100_000)
        pair.pump()
    assert len(quick.received) == 300_000
    reader.transport.resumeProducing()
    pair.pump()
    assert len(reader.received) == 4 * MIB
    assert pair.server.statistics().bytesHeld == 0


def test_smallWindow(makePair: MakePair) -> None:
    """
    However narrow the window, or the frames, everything gets through.
    """
    pair = makePair(clientConfig=MuxConfig(window=1000, maxWindow=2000, maxFrame=300))
    client, server = connect(pair)
    client.transport.write(bytes(1 * MIB))
    server.transport.write(bytes(1 * MIB))
    pair.pump()
    assert len(server.received) == len(client.received) == 1 * MIB


def test_budget(makePair: MakePair) -> None:
    """
    What all readers together hold is bounded; when it is spent the carrier is
    not read, and when some of it is taken it is again.
    """
    budget = 1 * MIB
    pair = makePair(clientConfig=MuxConfig(receiveBudget=budget))
    streams = [connect(pair) for _ in range(6)]
    for client, server in streams:
        server.transport.pauseProducing()
        client.transport.write(bytes(1 * MIB))
    pair.pump()
    statistics = pair.server.statistics()
    assert not statistics.reading
    assert budget <= statistics.bytesHeld <= budget + 128 * KIB
    # What has come in already can be taken; then more comes.
    for _ in range(3):
        for _client, server in streams:
            server.transport.resumeProducing()
            pair.pump()
    assert [len(server.received) for _, server in streams] == [1 * MIB] * 6
    statistics = pair.server.statistics()
    assert statistics.reading
    assert statistics.bytesHeld == 0


def test_budgetOfDeadStreams(makePair: MakePair) -> None:
    """
    What a stream holds is given back when it is aborted.
    """
    pair = makePair(clientConfig=MuxConfig(receiveBudget=256 * KIB))
    client, server = connect(pair)
    other, another = connect(pair)
    server.transport.pauseProducing()
    client.transport.write(bytes(1 * MIB))
    pair.pump()
    assert not pair.server.statistics().reading
    server.transport.abortConnection()
    pair.pump()
    other.transport.write(b"x")
    pair.pump()
    assert another.data == b"x"
    assert pair.server.statistics().bytesHeld == 0


def test_slowReaderIsReset(makePair: MakePair) -> None:
    """
    Where there is no credit, and if so configured, a reader that does not read
    is reset, after some time, in favour of the others.
    """
    pair = makePair(
        clientConfig=MuxConfig(
            slowReader="reset", slowReaderGrace=3, window=64 * KIB, keepAlive=0
        )
    )
    if hasCredit(pair):
        return
    client, server = connect(pair)
    other, another = connect(pair)
    server.transport.pauseProducing()
    client.transport.write(bytes(1 * MIB))
    pair.advance(2.9)
    assert not server.gone
    pair.advance(0.2)
    assert isinstance(server.reason, ConnectionLost)
    assert "reader" in str(server.reason)
    other.transport.write(b"x")
    pair.pump()
    assert another.data == b"x"
    if pair.client.engine.capabilities.reset:
        assert isinstance(client.reason, ConnectionLost)


def test_slowReaderCatchesUp(makePair: MakePair) -> None:
    """
    A reader that reads again within the time is left alone.
    """
    pair = makePair(
        clientConfig=MuxConfig(slowReader="reset", slowReaderGrace=3, window=64 * KIB)
    )
    if hasCredit(pair):
        return
    client, server = connect(pair)
    server.transport.pauseProducing()
    client.transport.write(bytes(1 * MIB))
    pair.advance(2.5)
    server.transport.resumeProducing()
    pair.advance(2.5)
    assert not server.gone
    assert len(server.received) == 1 * MIB


# Writers.


class Order:
    """
    Notes the frames of payload that a session sends.

    @ivar frames: the stream and the length of each, in order.
    """

    def __init__(self, session: Any) -> None:
        self.frames: list[tuple[Any, int]] = []
        scheduler = session.engine.scheduler
        header = scheduler.payloadHeader

        def payloadHeader(key: Any, length: int) -> Any:
            self.frames.append((key, length))
            return header(key, length)

        scheduler.payloadHeader = payloadHeader

    def before(self, recorder: Any, since: int) -> dict[Any, int]:
        """
        How much of every other stream was sent before the first frame of this
        one, from frame number C{since}.
        """
        key = recorder.transport.engineStream.key
        amounts: dict[Any, int] = {}
        for other, length in self.frames[since:]:
            if other == key:
                return amounts
            amounts[other] = amounts.get(other, 0) + length
        raise AssertionError("it was never sent")


class Endless:
    """
    Writes on a stream as much as it may, without end.
    """

    def __init__(self, transport: Any, size: int) -> None:
        self._transport = transport
        self._block = bytes(size)
        self._paused = False
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self._transport.connected:
            self._transport.write(self._block)

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True


@pytest.mark.parametrize("writers", [1, 7])
def test_echoBesideEndlessWriters(makePair: MakePair, writers: int) -> None:
    """
    Beside streams that are written to without end, another's 64 bytes go
    through in their turn: at most one quantum of every other before them; and
    nothing but what is under way already holds the answer up.
    """
    link = Link(rate=10_000_000, delay=0.001)
    pair = makePair(link=link)
    order = Order(pair.client)
    small, _ = connect(pair, Recorder(data=echo))
    # Frames that are smaller than a quantum, and such that are not.
    endless = [
        Endless(connect(pair)[0].transport, 5_000 if number % 2 else 500_000)
        for number in range(writers)
    ]
    quantum = pair.client.engine.codec.maxFrame
    for _ in range(20):
        pair.advance(0.05)
        since = len(order.frames)
        small.transport.write(b"x" * 64)
        before = len(small.received)
        pair.advance(0.05)
        assert len(small.received) == before + 64
        assert all(amount <= quantum for amount in order.before(small, since).values())
    assert len(endless) == writers


def test_sharesAreEqual(makePair: MakePair) -> None:
    """
    Streams that are all written to without end get as many turns each, whatever
    the size of their writes.  (Not as many bytes: what is left at the end of a
    buffer takes a turn as well.)
    """
    pair = makePair(link=Link(rate=10_000_000))
    streams = [connect(pair) for _ in range(5)]
    for number, (client, _) in enumerate(streams):
        Endless(client.transport, 1000 * 10**number if number < 4 else 70_000)
    pair.advance(2)
    amounts = [len(server.received) for _, server in streams]
    assert min(amounts) > 2_000_000
    assert max(amounts) < 2 * min(amounts)


def test_smallWritesDoNotStarve(makePair: MakePair) -> None:
    """
    Many streams with small writes now and then do not starve the busy one.
    """
    pair = makePair(link=Link(rate=1_000_000))
    busy, reader = connect(pair)
    small = [connect(pair)[0] for _ in range(50)]
    Endless(busy.transport, 100_000)
    for _ in range(100):
        for each in small:
            each.transport.write(bytes(100))
        pair.advance(0.01)
    assert len(reader.received) > 300_000


def test_pausedForWantOfCredit(pair: SessionPair) -> None:
    """
    A producer is paused while the peer's reader does not read.
    """
    client, server = connect(pair)
    server.transport.pauseProducing()
    producer = Producer()
    client.transport.registerProducer(producer, True)
    while "pause" not in producer.calls or producer.calls[-1] == "resume":
        client.transport.write(bytes(1 * MIB))
        pair.pump()
    assert producer.calls[-1] == "pause"
    calls = len(producer.calls)
    pair.advance(5)
    assert len(producer.calls) == calls
    server.transport.resumeProducing()
    pair.pump()
    assert producer.calls[calls:] == ["resume"]
    assert client.transport.engineStream.buffered == 0


def test_pausedForTheCarrier(pair: SessionPair) -> None:
    """
    A producer is paused while the carrier takes nothing.
    """
    client, server = connect(pair)
    producer = Producer()
    client.transport.registerProducer(producer, True)
    pair.carrier.stall()
    while "pause" not in producer.calls or producer.calls[-1] == "resume":
        client.transport.write(bytes(70 * KIB))
        pair.pump()
    assert not pair.client.statistics().writing
    written = len(server.received)
    calls = len(producer.calls)
    pair.advance(5)
    assert len(producer.calls) == calls
    pair.carrier.stall(False)
    pair.pump()
    assert pair.client.statistics().writing
    assert producer.calls[calls:] == ["resume"]
    assert len(server.received) > written


def test_pausedForFairness(makePair: MakePair) -> None:
    """
    A producer is paused while others have their turns; and resumed though they
    never end.
    """
    pair = makePair(link=Link(rate=10_000_000))
    others = [connect(pair)[0] for _ in range(5)]
    client, server = connect(pair)
    for other in others:
        Endless(other.transport, 100_000)
    pair.advance(0.1)
    producer = Producer()
    client.transport.registerProducer(producer, True)
    client.transport.write(bytes(200_000))
    assert producer.calls == ["pause"]
    pair.advance(0.5)
    assert producer.calls == ["pause", "resume"]
    assert len(server.received) == 200_000


def test_oneIsResumedAtATime(makePair: MakePair) -> None:
    """
    When the carrier takes data again, not all producers are resumed, but one
    after the other, as theirs is sent: what they write would only wait.
    """
    pair = makePair(link=Link(capacity=16 * KIB))
    quantum = pair.client.engine.codec.maxFrame
    # In whole turns, more than a stream holds before its producer is paused.
    size = quantum * (pair.client.config.sendBuffer // quantum + 1)
    streams = [connect(pair)[0] for _ in range(50)]
    pair.carrier.stall()
    resumed: list[int] = []
    for number, client in enumerate(streams):

        def resume(number: int = number, client: Any = client) -> None:
            resumed.append(number)
            client.transport.write(bytes(size))

        producer = Producer(resume=resume)
        client.transport.registerProducer(producer, True)
        client.transport.write(bytes(size))
    pair.pump()
    assert resumed == []
    pair.carrier.stall(False)
    most = 0
    while len(resumed) < 100:
        before = len(resumed)
        assert pair.turn()
        most = max(most, len(resumed) - before)
    # The carrier takes two batches at most before it says that it is full.
    assert most <= 2 * BATCH // quantum + 1
    assert sorted(resumed[:50]) == list(range(50))


def test_memoryOfWriters(makePair: MakePair) -> None:
    """
    Whatever producers are there, what waits to be sent stays bounded by what
    each stream may hold.
    """
    pair = makePair(link=Link(rate=1_000_000))
    streams = [connect(pair)[0] for _ in range(20)]
    for client in streams:
        Endless(client.transport, 10_000)
    for _ in range(20):
        pair.advance(0.05)
        for client in streams:
            assert client.transport.engineStream.buffered <= 64 * KIB + 10_000


def test_bufferSizeOfConfiguration(makePair: MakePair) -> None:
    """
    C{sendBuffer} is a stream's C{bufferSize} to begin with.
    """
    pair = makePair(clientConfig=MuxConfig(sendBuffer=1234))
    client, server = connect(pair)
    assert client.transport.bufferSize == server.transport.bufferSize == 1234


def test_turnsAreShort(makePair: MakePair) -> None:
    """
    Much data for a reader that resumes does not keep the reactor busy in one
    go: others get their turns.
    """
    pair = makePair(clientConfig=MuxConfig(turnBytes=32 * KIB))
    client, server = connect(pair)
    server.transport.pauseProducing()
    client.transport.write(bytes(200 * KIB))
    pair.pump()
    server.transport.resumeProducing()
    turns = 0
    most = 0
    while len(server.received) < 200 * KIB:
        before = len(server.received)
        assert pair.turn()
        most = max(most, len(server.received) - before)
        turns += 1
    assert turns >= 4
    assert most <= 32 * KIB + 64 * KIB


def test_smallProducersTakeTurns(pair: SessionPair) -> None:
    """
    A pull producer that writes a byte each time it is asked does not keep the
    reactor busy in one go either.
    """
    client, server = connect(pair)

    def produce() -> None:
        client.transport.write(b"x")
        if len(producer.calls) == 2000:
            client.transport.unregisterProducer()

    producer = Producer(resume=produce)
    client.transport.registerProducer(producer, False)
    most = 0
    while len(server.received) < 2000:
        before = len(producer.calls)
        assert pair.turn()
        most = max(most, len(producer.calls) - before)
    assert most <= 100


def test_bulkOverAThinLink(makePair: MakePair) -> None:
    """
    On a link with delay and rate a transfer takes about as long as it has to,
    windows included.
    """
    pair = makePair(link=Link(rate=2_000_000, delay=0.02))
    client, server = connect(pair)
    size = 8 * MIB
    client.transport.write(bytes(size))
    begin = pair.clock.seconds()
    while len(server.received) < size:
        pair.advance(0.1)
        assert pair.clock.seconds() - begin < 10
    assert pair.clock.seconds() - begin < 1.25 * size / 2_000_000 + 0.5
