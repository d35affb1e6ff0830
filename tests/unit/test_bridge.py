"""
Bridges, between connections in memory and between streams.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from tests.unit.carrying import Network, logged, pending, resultOf
from twisted_mux.bridge import CONNECT_TIMEOUT, Bridge, BridgeStatistics
from twisted_mux.testing import MemoryConnection, SessionPair, VirtualClock

CHUNK = 32 * 1024


@implementer(IHalfCloseableProtocol, IPushProducer)
class End(Protocol):
    """
    One end of what a bridge joins: a client, or the target.

    @ivar lost: why, each time.
    @ivar left: how much is to be written whenever there is room.
    """

    ended = False
    paused = False
    left = 0
    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost: list[Failure] = []

    @property
    def data(self) -> bytes:
        """
        What has arrived.
        """
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.pieces.append(data)

    def readConnectionLost(self) -> None:
        """
        Keep that.
        """
        assert not self.ended
        self.ended = True

    def writeConnectionLost(self) -> None:
        """
        As we wanted.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Keep why.
        """
        self.lost.append(reason)

    def produce(self, size: int) -> None:
        """
        Write so much, as fast as it is taken.
        """
        self.left = size
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """
        Write no more.
        """
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Write more.
        """
        self.paused = False
        while self.left and not self.paused:
            self.left -= CHUNK
            self.transport.write(bytes([self.left // CHUNK % 251]) * CHUNK)

    def stopProducing(self) -> None:
        """
        No more.
        """
        self.left = 0

    def checkLost(self, kind: type[Exception]) -> None:
        """
        It was lost once, for that reason.
        """
        (reason,) = self.lost
        assert reason.check(kind), reason


class Scene:
    """
    Clients on one side of a bridge, the target on the other.

    @ivar targets: what the target has been connected to.
    """

    def __init__(self, source: str = "tcp", target: str = "tcp") -> None:
        self.clock = VirtualClock()
        self.targets: list[End] = []
        self.network = Network(self.clock)
        self.source = Network(self.clock)
        where: Any = self.network
        if target == "tcp":
            self.network.listen(Factory.forProtocol(self.accept))
        else:
            pair = SessionPair(
                clock=self.clock, serverStreams=Factory.forProtocol(self.accept)
            )
            where = pair.client.clientEndpoint()
            self.targetPair = pair
        self.bridge = Bridge(self.clock, "test", where, "somewhere")
        if source == "tcp":
            self.source.listen(self.bridge)
        else:
            self.sourcePair = SessionPair(clock=self.clock, serverStreams=self.bridge)
        self._kinds = source, target

    def accept(self) -> End:
        """
        The target gets a connection.
        """
        end = End()
        self.targets.append(end)
        return end

    def knock(self) -> End:
        """
        A client connects; the target has not been asked yet.
        """
        client = End()
        factory = Factory.forProtocol(lambda: client)
        if self._kinds[0] == "tcp":
            self.source.connect(factory)
            self.source.accept()
        else:
            self.sourcePair.client.clientEndpoint().connect(factory)
            self.settle()
        return client

    def connect(self) -> tuple[End, End]:
        """
        A client is connected with the target.
        """
        client = self.knock()
        if self._kinds[1] == "tcp":
            self.network.accept()
        self.settle()
        return client, self.targets[-1]

    def settle(self) -> None:
        """
        Let everything happen for which no time is needed.
        """
        self.clock.settle()

    def check(self, live: int, total: int, failed: int = 0) -> None:
        """
        The connections that were counted.
        """
        seen = self.bridge.statistics()
        assert (seen.live, seen.total, seen.failed) == (live, total, failed)
        assert self.bridge.live == live


@pytest.fixture(params=["tcp-tcp", "tcp-stream", "stream-tcp", "stream-stream"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """
    Bridges between connections and streams, each with each.
    """
    return Scene(*request.param.split("-"))


def test_bothDirections(scene: Scene) -> None:
    """
    What one end sends arrives at the other; it is counted.
    """
    client, target = scene.connect()
    client.transport.write(b"question")
    scene.settle()
    target.transport.write(b"the answer")
    scene.settle()
    assert (target.data, client.data) == (b"question", b"the answer")
    assert scene.bridge.statistics() == BridgeStatistics(1, 1, 0, 8, 10)


@pytest.mark.parametrize("closer", [0, 1])
def test_halfClose(closer: int, scene: Scene) -> None:
    """
    Each direction ends by itself, behind its data; when both have, both sides are
    closed.
    """
    ends = scene.connect()
    first, second = ends[closer], ends[1 - closer]
    first.transport.write(b"all" * 50_000)
    first.transport.loseWriteConnection()
    scene.settle()
    assert second.data == b"all" * 50_000
    assert second.ended
    second.transport.write(b"still" * 50_000)
    scene.settle()
    assert first.data == b"still" * 50_000
    assert first.ended is (not second.ended)
    scene.check(1, 1)
    second.transport.loseConnection()
    scene.settle()
    assert first.ended
    second.checkLost(ConnectionDone)
    first.transport.loseConnection()
    scene.settle()
    first.checkLost(ConnectionDone)
    scene.check(0, 1)


@pytest.mark.parametrize("closer", [0, 1])
def test_close(closer: int, scene: Scene) -> None:
    """
    Who closes the whole connection has what was written delivered; the other end
    may still send, and then closes too.
    """
    ends = scene.connect()
    first, second = ends[closer], ends[1 - closer]
    first.transport.write(b"x" * 300_000)
    first.transport.loseConnection()
    scene.settle()
    assert second.data == b"x" * 300_000
    assert second.ended
    second.transport.loseConnection()
    scene.settle()
    first.checkLost(ConnectionDone)
    second.checkLost(ConnectionDone)
    scene.check(0, 1)


@pytest.mark.parametrize("closer", [0, 1])
def test_reset(closer: int, scene: Scene) -> None:
    """
    A reset is passed on as such.
    """
    ends = scene.connect()
    ends[1].transport.write(b"x")
    scene.settle()
    ends[closer].transport.abortConnection()
    scene.settle()
    ends[closer].checkLost(ConnectionAborted)
    ends[1 - closer].checkLost(ConnectionLost)
    scene.check(0, 1)


@pytest.mark.parametrize("reader", [0, 1])
def test_backPressure(reader: int, scene: Scene) -> None:
    """
    A reader that is paused stops the writer in the end; nothing is lost.
    """
    size = 400 * CHUNK
    ends = scene.connect()
    slow, fast = ends[reader], ends[1 - reader]
    slow.transport.pauseProducing()
    fast.produce(size)
    scene.settle()
    assert fast.paused
    # Three transports with a buffer each, and what is on the way between them.
    assert size - fast.left < 1_500_000
    assert slow.data == b""
    # The other direction is free.
    slow.transport.write(b"patience")
    scene.settle()
    assert fast.data == b"patience"
    slow.transport.resumeProducing()
    scene.clock.advance(1)
    assert len(slow.data) == size
    assert slow.data[::CHUNK] == bytes(left % 251 for left in range(399, -1, -1))


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("reader", [0, 1])
def test_pausedProducerIsLost(reader: int, reset: bool, scene: Scene) -> None:
    """
    A side whose reading is paused, since the other has enough, is lost: the other
    does not wait for it.
    """
    ends = scene.connect()
    slow, fast = ends[reader], ends[1 - reader]
    slow.transport.pauseProducing()
    fast.produce(400 * CHUNK)
    scene.settle()
    assert fast.paused
    if reset:
        slow.transport.abortConnection()
    else:
        slow.transport.loseConnection()
        scene.settle()
        fast.transport.unregisterProducer()
        fast.transport.abortConnection()
    scene.clock.advance(1)
    assert len(slow.lost) == len(fast.lost) == 1
    scene.check(0, 1, int(reader == 1))


def test_endBehindPausedProducer() -> None:
    """
    A side that ends while what it sent is still on its way: all arrives, then the
    end; and where both have ended, all arrives before the close.
    """
    scene = Scene()
    client, target = scene.connect()
    target.transport.pauseProducing()
    client.produce(20 * CHUNK)
    scene.settle()
    written = 20 * CHUNK - client.left
    client.transport.unregisterProducer()
    client.transport.loseWriteConnection()
    target.transport.write(b"bye")
    target.transport.loseWriteConnection()
    scene.settle()
    target.transport.resumeProducing()
    scene.settle()
    assert len(target.data) == written
    assert target.ended
    assert client.data == b"bye"
    assert client.ended
    scene.check(0, 1)


def test_waitsForTarget() -> None:
    """
    What arrives before the target is connected is not read, so little of it is
    held; it is delivered first.
    """
    scene = Scene()
    client = scene.knock()
    client.produce(100 * CHUNK)
    scene.settle()
    assert client.paused
    assert scene.bridge.statistics().bytesForward == 0
    scene.network.accept()
    scene.settle()
    assert len(scene.targets[0].data) == 100 * CHUNK
    assert scene.targets[0].data.startswith(bytes([99]))


def test_earlyData() -> None:
    """
    Transports that deliver, though they were paused, lose nothing; neither does an
    end that comes with it.
    """
    scene = Scene()
    client = scene.knock()
    side: Any = scene.source.connections[0].server.protocol
    side.dataReceived(b"early ")
    side.dataReceived(b"bird")
    side.readConnectionLost()
    side.readConnectionLost()
    scene.network.accept()
    (target,) = scene.targets
    assert target.data == b"early bird"
    assert target.ended
    target.transport.write(b"worm")
    scene.settle()
    assert client.data == b"worm"


def test_earlyDataFillsUp() -> None:
    """
    If that is more than the target takes, no more is read.
    """
    scene = Scene()
    client = scene.knock()
    side: Any = scene.source.connections[0].server.protocol
    side.dataReceived(b"x" * 200_000)
    dial = scene.network.dials[0]
    connection = dial.accept()
    scene.targets[0].transport.pauseProducing()
    client.transport.write(b"y")
    scene.settle()
    assert side.paused
    assert scene.bridge.statistics().bytesForward == 200_000
    connection.server.resumeProducing()
    scene.settle()
    assert scene.targets[0].data == b"x" * 200_000 + b"y"


def test_targetRefuses(scene: Scene) -> None:
    """
    A client whose target can't be reached is reset, which is one line in the log.
    """

    class Nowhere:
        def connect(self, factory: object) -> Deferred[Any]:
            return fail(ConnectionLost("nobody is at home"))

    scene.bridge.target = Nowhere()  # type: ignore[assignment]
    with logged() as lines:
        client = scene.knock()
    scene.settle()
    client.checkLost(ConnectionLost)
    (line,) = lines
    assert line.startswith("tunnel test: connection from 192.0.2.1:49152 failed: some")
    assert "nobody is at home" in line
    scene.check(0, 1, 1)
    assert not scene.clock.calls or scene._kinds != ("tcp", "tcp")


def test_targetTakesTooLong() -> None:
    """
    Connecting has a time limit.
    """
    scene = Scene()
    client = scene.knock()
    with logged() as lines:
        scene.clock.advance(CONNECT_TIMEOUT - 1)
        assert not client.lost
        scene.clock.advance(1)
    assert scene.network.dials[0].cancelled
    client.checkLost(ConnectionLost)
    assert lines[0].endswith("somewhere: no connection within 40 seconds")
    scene.check(0, 1, 1)
    assert not scene.clock.calls


def test_clientLeavesFirst() -> None:
    """
    A client that is lost meanwhile is not connected; that is no failure.
    """
    scene = Scene("stream")
    client = scene.knock()
    with logged() as lines:
        client.transport.abortConnection()
        scene.settle()
    assert scene.network.dials[0].cancelled
    assert lines == []
    scene.check(0, 1)


def test_targetIsConnectedTooLate() -> None:
    """
    If the target is connected in spite of that, it is dropped.
    """
    scene = Scene()
    client = scene.knock()
    joint = scene.network.dials[0].factory
    scene.source.connections[0].cut()
    scene.settle()
    assert client.lost
    connection = MemoryConnection(scene.clock)
    target = End()
    connection.connect(joint.buildProtocol(None), target)
    scene.settle()
    target.checkLost(ConnectionLost)
    scene.check(0, 1)


def test_targetIsLostBeforeItSpeaks() -> None:
    """
    A target that drops the connection has failed, if it has not said anything: there
    the next bridge could not reach its own target.
    """
    scene = Scene("tcp", "stream")
    client, target = scene.connect()
    with logged() as lines:
        target.transport.abortConnection()
        scene.settle()
    client.checkLost(ConnectionLost)
    (line,) = lines
    assert "was reset by the peer" in line
    scene.check(0, 1, 1)


def test_connectFailsAfterAll() -> None:
    """
    An endpoint that has connected and yet fails is a failure, once.
    """
    scene = Scene()
    client = scene.knock()
    dial = scene.network.dials[0]
    connection = MemoryConnection(scene.clock)
    connection.connect(dial.factory.buildProtocol(None), End())
    with logged() as lines:
        connection.cut()
        dial.refuse(ValueError("no"))
        scene.settle()
    scene.settle()
    assert len(lines) == 1
    assert len(client.lost) == 1
    scene.check(0, 1, 1)


def test_noHalfClose() -> None:
    """
    A side that can't end one direction alone, as TLS, is closed.
    """
    scene = Scene()
    client, target = scene.connect()
    outgoing = scene.network.connections[0].client
    alsoProvides(outgoing, ISSLTransport)
    client.transport.write(b"last")
    client.transport.loseWriteConnection()
    scene.settle()
    assert target.data == b"last"
    assert target.ended
    assert client.ended
    client.transport.loseConnection()
    target.transport.loseConnection()
    scene.settle()
    scene.check(0, 1)


def test_noAbort() -> None:
    """
    A side that can't be aborted, as a pipe, is closed.
    """
    scene = Scene()
    scene.connect()
    side: Any = scene.source.connections[0].server.protocol

    class PipeTransport:
        closed = 0

        def unregisterProducer(self) -> None:
            """
            Nothing.
            """

        def loseConnection(self) -> None:
            self.closed += 1

    transport = side.transport
    side.transport = pipe = PipeTransport()
    side.abort()
    assert pipe.closed == 1
    side.transport = transport


def test_resumedPastTheEnd() -> None:
    """
    A side whose input has ended is not read from again.
    """
    scene = Scene()
    client, target = scene.connect()
    client.transport.loseWriteConnection()
    scene.settle()
    incoming = scene.source.connections[0].server
    side: Any = incoming.protocol
    side.pauseProducing()
    side.resumeProducing()
    side.stopProducing()
    assert not incoming._reading
    assert not target.lost


def test_whenIdle() -> None:
    """
    Who waits for the last connection's end is told; who waits no more is not.
    """
    scene = Scene()
    resultOf(scene.bridge.whenIdle())
    client, target = scene.connect()
    waiting, other = scene.bridge.whenIdle(), scene.bridge.whenIdle()
    cancelled: list[Failure] = []
    other.addErrback(cancelled.append)
    other.cancel()
    assert cancelled[0].check(CancelledError)
    client.transport.loseConnection()
    scene.settle()
    assert pending(waiting)
    target.transport.loseConnection()
    scene.settle()
    resultOf(waiting)


def test_abort() -> None:
    """
    All connections can be dropped, also those that wait; that is no failure of
    theirs.
    """
    scene = Scene()
    client, target = scene.connect()
    other = scene.knock()
    with logged() as lines:
        scene.bridge.abort()
        scene.settle()
    assert scene.network.dials[0].cancelled
    for end in (client, target, other):
        end.checkLost(ConnectionLost)
    assert lines == []
    scene.check(0, 2)
    scene.bridge.abort()


def test_anotherTarget() -> None:
    """
    Another target is for new connections.
    """
    scene = Scene()
    client, target = scene.connect()
    other = Network(scene.clock)
    scene.bridge.target = other
    scene.knock()
    assert len(other.dials) == 1
    client.transport.write(b"here")
    scene.settle()
    assert target.data == b"here"
