"""
How streams end, and what their callbacks may do meanwhile, on every wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.streams import Factory3, MakePair, capabilities, connect
from twisted_mux.config import MuxConfig
from twisted_mux.reasons import SessionLost, StreamReset
from twisted_mux.testing import Link, SessionPair
from twisted_mux.testing.conformance import (
    HalfCloser,
    Producer,
    Recorder,
    StreamConnections,
    casesFor,
)
from twisted_mux.testing.conformance.reentrancy import ReentrancyTests
from twisted_mux.wire import wireNames

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors


def test_reasons(pair: SessionPair) -> None:
    """
    The reasons say what happened, to which stream, in words.
    """
    client, server = connect(pair)
    client.transport.abortConnection()
    pair.pump()
    assert type(client.reason) is ConnectionAborted
    if capabilities(pair).reset:
        assert type(server.reason) is StreamReset
        assert server.transport.streamId in str(server.reason)
        assert "192.0.2.1" in str(server.reason)
    else:
        assert type(server.reason) is ConnectionDone
    client, server = connect(pair)
    pair.lose()
    pair.pump()
    for recorder in (client, server):
        assert type(recorder.reason) is SessionLost
        assert isinstance(recorder.reason, ConnectionLost)
        assert pair.client.wire in str(recorder.reason)


def test_producerBehindAnAbort(pair: SessionPair) -> None:
    """
    A producer that is registered behind an abort is stopped with the rest; the
    peer gets the end all the same, where it is told by one.
    """

    calls: list[str] = []

    class Pulled:
        def resumeProducing(self) -> None:
            calls.append("resume")

        def stopProducing(self) -> None:
            calls.append("stop")

    client, server = connect(pair)
    client.transport.loseConnection()
    client.transport.abortConnection()
    client.transport.registerProducer(Pulled(), False)
    pair.pump()
    assert calls == ["resume", "stop"]
    assert type(client.reason) is ConnectionAborted
    assert server.gone


def test_connectionLostRaises(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    What C{connectionLost} or C{stopProducing} raises is logged, and everything
    else happens all the same.
    """

    def fail(_: object = None) -> None:
        raise ZeroDivisionError

    client, server = connect(pair, Recorder(lost=fail))
    other, another = connect(pair)
    client.transport.registerProducer(Producer(stop=fail), True)
    client.transport.loseConnection()
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 2
    assert client.gone
    assert type(server.reason) is ConnectionDone
    other.transport.write(b"x")
    pair.pump()
    assert another.data == b"x"


def test_allToldOfTheLoss(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    The loss of the carrier reaches every stream, also when one of their
    protocols raises.
    """

    def fail(_: object = None) -> None:
        raise ZeroDivisionError

    recorders = [
        each
        for number in range(5)
        for each in connect(pair, Recorder(**({"lost": fail} if number == 1 else {})))
    ]
    pair.lose()
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert [each.events.count("lost") for each in recorders] == [1] * 10


def test_dataAfterTheLoss(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    A protocol that raises after it has closed is logged, once, and costs
    nobody anything.
    """

    def act(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.loseConnection()
        raise ZeroDivisionError

    client, server = connect(pair, None, Recorder(data=act))
    other, another = connect(pair)
    client.transport.write(b"x")
    other.transport.write(b"x")
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert isinstance(server.reason, ZeroDivisionError)
    assert another.data == b"x"
    assert client.gone


def test_receivedIsDeliveredAfterTheLoss(pair: SessionPair) -> None:
    """
    A stream that has ended in both directions has lost nothing with its
    carrier: what its reader has not read yet it can still have.
    """
    client, server = connect(pair)
    server.transport.pauseProducing()
    server.transport.loseWriteConnection()
    client.transport.write(b"all of it")
    client.transport.loseConnection()
    pair.pump()
    assert type(client.reason) is ConnectionDone
    pair.lose()
    pair.pump()
    assert server.events == ["made"]
    server.transport.resumeProducing()
    pair.pump()
    assert server.data == b"all of it"
    assert type(server.reason) is ConnectionDone


def test_endedAndNotLeft(pair: SessionPair) -> None:
    """
    A protocol that has seen both ends, and has not closed, is told when the
    session ends, whether it has read everything by then or not.
    """
    recorders = []
    for paused in (False, True):
        client, server = connect(pair, HalfCloser(), HalfCloser())
        if paused:
            server.transport.pauseProducing()
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        server.transport.loseWriteConnection()
        recorders += [client, server]
    pair.pump()
    pair.lose()
    pair.pump()
    paused = recorders[-1]
    for recorder in recorders:
        if recorder is paused:
            assert recorder.events == ["made", "writeLost"]
            recorder.transport.resumeProducing()
            pair.pump()
            assert recorder.data == b"x"
        assert recorder.events[-1] == "lost"
        assert recorder.events.count("readLost") == 1
        assert isinstance(recorder.reason, ConnectionLost)


def test_lingering(makePair: MakePair) -> None:
    """
    A stream that one side has closed, and the other never ends, is given up
    after C{lingerTimeout}: nothing is left of it.
    """
    pair = makePair(clientConfig=MuxConfig(lingerTimeout=20))
    client, server = connect(pair, None, HalfCloser())
    client.transport.loseConnection()
    pair.pump()
    assert len(pair.client.engine.streams) == 1
    pair.advance(19)
    assert len(pair.client.engine.streams) == 1
    pair.advance(2)
    assert not pair.client.engine.streams
    if capabilities(pair).reset:
        assert isinstance(server.reason, ConnectionLost)


def test_halfClosedTimeout(makePair: MakePair) -> None:
    """
    If so configured, a stream that is closed in one direction, and on which
    nothing moves, is given up; while something moves it stays.
    """
    pair = makePair(clientConfig=MuxConfig(halfClosedTimeout=10))
    client, server = connect(pair, HalfCloser(), HalfCloser())
    client.transport.loseWriteConnection()
    pair.pump()
    for _ in range(5):
        pair.advance(7)
        server.transport.write(b"x")
    assert client.data == b"xxxx"
    assert not client.gone
    pair.advance(25)
    assert isinstance(client.reason, ConnectionLost)
    assert "half-closed" in str(client.reason)


# Re-entrancy, beyond what one connection can do.


class StreamReentrancyTests(ReentrancyTests):
    """
    Each callback doing what can be done with a session.
    """

    requests: dict[str, Any] = {
        "open": lambda transport: transport.session.openStream(
            Factory.forProtocol(Recorder)
        ).addErrback(lambda failure: None),
        "close": lambda transport: transport.session.close().addErrback(
            lambda failure: None
        ),
        "close at once": lambda transport: transport.session.close(0.001).addErrback(
            lambda failure: None
        ),
        "abort": lambda transport: transport.session.abort(),
        "ping": lambda transport: transport.session.ping().addErrback(
            lambda failure: None
        ),
        "abort both": lambda transport: (
            transport.abortConnection(),
            transport.session.abort(),
        ),
        "statistics": lambda transport: transport.session.statistics(),
    }

    def test_openedProtocols(self) -> None:
        """
        A stream opened from within a callback is a stream.
        """
        client, server = self.connect()
        opened: list[Any] = []
        accepted: list[Any] = []

        def build(address: Any) -> Any:
            accepted.append(Recorder())
            return accepted[-1]

        connections = cast(StreamConnections, self.connections)
        for session in (connections.pair.client, connections.pair.server):
            session.streamFactory = cast(Any, Factory3(build))
        server.on["data"] = lambda recorder: recorder.transport.session.openStream(
            Factory.forProtocol(Recorder)
        ).addCallback(opened.append)
        client.transport.write(b"x")
        self.pump()
        opened[0].transport.write(b"hello")
        self.pump()
        assert accepted[0].data == b"hello"


for name in wireNames():
    globals().update(
        casesFor(
            name.capitalize(),
            lambda name=name: StreamConnections(SessionPair(name)),  # type: ignore[misc]
            (StreamReentrancyTests,),
        )
    )
# Not to be run itself.
del StreamReentrancyTests, ReentrancyTests, SynchronousTestCase


def test_closedAndStillSending(makePair: MakePair) -> None:
    """
    What arrives for who has closed, and still has something to send, is dropped,
    like what waited for it before: it costs no memory, and holds up nobody else.
    """
    size = 300 * 1024
    pair = makePair(clientConfig=MuxConfig(receiveBudget=size), link=Link(rate=100_000))
    ends = [(Recorder(), Recorder()) for _ in range(3)]
    for client, server in ends:
        pair.connect(client, server)
        pair.advance(1)
        cast(Any, client.transport).pauseProducing()
        cast(Any, server.transport).write(bytes(60_000))
    pair.advance(1)
    assert pair.client.engine.held >= 180_000
    for client, server in ends:
        cast(Any, client.transport).write(bytes(100_000))
        cast(Any, client.transport).loseConnection()
        cast(Any, server.transport).write(bytes(180_000))
    assert pair.client.engine.held == 0
    pair.advance(0.2)
    assert not any(client.gone for client, _ in ends)
    assert pair.client.engine.held == 0
    assert pair.client.statistics().reading
    pair.advance(30)
    for client, server in ends:
        assert client.received == b""
        assert client.gone
        assert server.received == bytes(100_000)


def test_unreadByWhoCloses(pair: SessionPair) -> None:
    """
    What is given back in the same call in which the connection is closed is not
    kept either.
    """

    def close(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.write(b"bye")
        transport.loseConnection()
        transport.unread(bytes(recorder.received))
        recorder.note(f"{pair.client.engine.held} held")

    client, server = Recorder(data=close), Recorder()
    pair.connect(client, server)
    pair.pump()
    cast(Any, server.transport).write(b"rest")
    pair.pump()
    assert client.events == ["made", "data", "0 held", "lost"]
    assert server.received == b"bye"


def test_protocolIsGone(pair: SessionPair) -> None:
    """
    After the loss C{protocol} is no attribute any more.
    """
    client, _ = connect(pair)
    client.transport.loseConnection()
    pair.pump()
    with pytest.raises(AttributeError):
        _ = client.transport.protocol


def test_swappedProtocol(pair: SessionPair) -> None:
    """
    A protocol may hand its transport to another one from within
    C{dataReceived}; the rest of the data, and the end, go there.
    """
    successor = Recorder()

    def handOver(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.protocol = successor
        successor.makeConnection(transport)

    client, server = connect(pair, None, Recorder(data=handOver))
    client.transport.write(b"upgrade")
    pair.pump()
    client.transport.write(b"upgraded")
    client.transport.loseConnection()
    pair.pump()
    assert server.events == ["made", "data"]
    assert successor.data == b"upgraded"
    assert successor.events == ["made", "data", "lost"]


def test_plainProtocol(pair: SessionPair) -> None:
    """
    L{Protocol} itself, with nothing overridden, will do.
    """
    client, server = Protocol(), Protocol()
    pair.connect(client, server)
    pair.pump()
    cast(Any, client.transport).write(b"x")
    cast(Any, client.transport).loseConnection()
    pair.pump()
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams
