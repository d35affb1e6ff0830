"""
Listening for whichever wire a client speaks.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionLost

from tests.unit.carrying import Network, Peer, Peers, logged, resultOf
from twisted_mux.config import MuxConfig
from twisted_mux.detection import DetectingProtocol
from twisted_mux.endpoints import MuxServerEndpoint
from twisted_mux.factory import MuxFactory
from twisted_mux.testing import MemoryConnection, VirtualClock
from twisted_mux.wire import wireNames


class Net:
    """
    A listener for all wires, and the transport of a client.
    """

    def __init__(self, **config: Any) -> None:
        self.network = Network()
        self.clock = self.network.clock
        self.peers = Peers()
        self._server = MuxServerEndpoint(
            self.clock, self.network, wire="auto", config=MuxConfig(**config)
        )
        self.listen()
        self.client = Peer()
        self.dial()

    def listen(self) -> None:
        """
        Listen, for the first time or again.
        """
        self.port: Any = resultOf(self._server.listen(self.peers))

    def dial(self) -> None:
        """
        A client dials.
        """
        self.connection = MemoryConnection(self.clock)
        detecting = self.network.factory.buildProtocol(None)
        assert isinstance(detecting, DetectingProtocol)
        self.connection.connect(self.client, detecting)

    def send(self, data: bytes, size: int = 1000) -> None:
        """
        The client sends, in pieces.
        """
        for start in range(0, len(data), size):
            if self.connection.client.connected:
                self.connection.client.write(data[start : start + size])
                self.clock.settle()


def opening(wire: str) -> bytes:
    """
    What a client sends that opens a stream and writes to it.
    """
    network = Network()
    # The address that it makes up tells a real client apart from noise.
    factory = MuxFactory(role="client", wire=wire, reactor=network.clock)
    session = factory.buildProtocol(None)
    listener = Peer()
    MemoryConnection(network.clock).connect(session, listener)
    deferred = session.openStream(Peers())
    network.clock.settle()
    resultOf(deferred).stream.write(b"hello" * 20)
    network.clock.settle()
    return listener.data


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("wire", wireNames())
def test_everyWire(wire: str, size: int) -> None:
    """
    However the first bytes are cut, none is lost.
    """
    net = Net()
    net.send(opening(wire), size)
    assert [session.wire for session in net.port.sessions] == [wire]
    assert net.port.carriersAccepted == 1
    assert net.peers.built[0].data == b"hello" * 20
    assert net.peers.built[0].stream.wire == wire
    net.peers.built[0].stream.write(b"answer")
    net.clock.settle()
    assert b"answer" in net.client.data
    net.connection.cut()
    net.clock.settle()
    assert not net.port.sessions
    assert net.peers.built[0].reason
    assert not net.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "seems to speak HTTP"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "seems to speak TLS (wrap "),
        (b"\xff" * 64, "sent ff ff"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_strangers(data: bytes, what: str, size: int) -> None:
    """
    One line says who sent what, and the connection is dropped.
    """
    if size == 1 and "seems" in what:
        # It takes no more to see that it is no wire protocol.
        what = f"sent {data[0]:02x}"
    net = Net()
    with logged() as messages:
        net.send(data, size)
        # What was under way already.
        net.clock.settle()
    assert len(messages) == 1
    assert messages[0].startswith("carrier from 192.0.2.1:49152 refused: ")
    assert what in messages[0]
    assert net.client.reason
    assert net.client.reason.check(ConnectionLost)
    assert not net.port.sessions
    assert not net.clock.getDelayedCalls()


def test_moreFromAStranger() -> None:
    """
    What else comes before the connection is gone is not looked at.
    """
    net = Net()
    with logged() as messages:
        detecting: Any = net.connection.server.protocol
        detecting.dataReceived(b"GET / HTTP/1.1\r\n")
        detecting.dataReceived(opening("yamux"))
        net.clock.settle()
    assert len(messages) == 1
    assert not net.port.carriersAccepted


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "nothing within 3 seconds"),
        (b"\0", "only 00 within 3 seconds"),
    ],
)
def test_silence(data: bytes, what: str) -> None:
    """
    A client that does not say what it speaks is dropped.
    """
    net = Net(detectTimeout=3)
    with logged() as messages:
        net.send(data)
        net.clock.advance(2)
        assert not net.client.reason
        net.clock.advance(2)
    assert len(messages) == 1
    assert messages[0].endswith(f"the peer sent {what} (limit detectTimeout: 3)")
    assert net.client.reason


def test_forEver() -> None:
    net = Net(detectTimeout=0)
    net.clock.advance(1e6)
    net.send(opening("smux1"))
    assert net.port.sessions


def test_goneBefore() -> None:
    """
    A client that goes before it was known leaves nothing behind.
    """
    net = Net()
    net.send(b"\0")
    net.connection.client.loseConnection()
    net.clock.settle()
    assert not net.clock.getDelayedCalls()
    net.dial()
    net.connection.client.abortConnection()
    net.clock.settle()
    assert net.client.reason
    assert net.client.reason.check(ConnectionAborted)
    assert not net.clock.getDelayedCalls()


class NoAbort:
    """
    A transport that can only be closed.
    """

    closed = False

    def loseConnection(self) -> None:
        """
        Remember it.
        """
        self.closed = True

    def getPeer(self) -> str:
        """
        Someone.
        """
        return "someone"


def test_transportWithoutAbort() -> None:
    net = Net()
    detecting: Any = net.network.factory.buildProtocol(None)
    transport = NoAbort()
    with logged() as messages:
        detecting.makeConnection(transport)
        detecting.handshakeCompleted()
        detecting.dataReceived(b"SSH-2.0-x")
    assert transport.closed
    assert messages == ["carrier from someone refused: " + messages[0][30:]]


def test_plainSessions() -> None:
    """
    What is handed over to need not care for handshakes.
    """
    clock = VirtualClock()
    peers = Peers()
    factory = MuxFactory(peers, role="server", wire="smux1", reactor=clock)
    detecting = DetectingProtocol(lambda codec: factory.buildProtocol(None), 1, clock)
    connection = MemoryConnection(clock)
    connection.connect(Peer(), detecting)
    connection.client.write(opening("smux1"))
    clock.settle()
    assert peers.built[0].data == b"hello" * 20


@pytest.mark.parametrize("again", [False, True])
def test_upTooLate(again: bool) -> None:
    """
    A carrier that comes up when nobody wants one any more (its wire was not known
    before, or its handshake not through) is closed, as those were that had come up;
    but not if somebody listens again by then.
    """
    net = Net()
    net.port.stopListening()
    if again:
        net.listen()
    net.send(opening("yamux"))
    net.clock.advance(1)
    assert len(net.peers.built) == again
    assert bool(net.client.reason) == (not again)
    assert len(net.port.sessions) == again
    net.connection.cut()
    net.clock.settle()
    assert not net.clock.getDelayedCalls()
