"""
Streams that the peer has opened and that nobody has accepted yet: who counts as
such, for how long, and what becomes of those beyond C{maxPending}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol

from tests.unit.carrying import Network, Peers, logged
from tests.unit.negotiating import ECHO, KINDS, Outcome, Recorders
from tests.unit.proxying import PUBLIC, Clock, End, wanting
from twisted_mux.address import describeAddress
from twisted_mux.bridge import Bridge
from twisted_mux.config import MuxConfig
from twisted_mux.negotiation import NamedProtocols
from twisted_mux.reasons import StreamRefused
from twisted_mux.socks.endpoint import SocksEndpoint
from twisted_mux.socks.targets import AllowList
from twisted_mux.testing import MemoryConnection, SessionPair, VirtualClock

TWO = MuxConfig(maxPending=2)


def served(
    factory: IProtocolFactory, wire: str = "yamux", clock: VirtualClock | None = None
) -> SessionPair:
    """
    A pair of sessions of which the server has C{factory}, and may have two streams
    that are not accepted.
    """
    return SessionPair(wire, serverConfig=TWO, serverStreams=factory, clock=clock)


def opened(pair: SessionPair, count: int = 1) -> list[Any]:
    """
    Streams that the client opens, as protocols.
    """
    factory = Recorders()
    for _ in range(count):
        pair.client.openStream(factory)
    pair.pump()
    return factory.built


def waiting(pair: SessionPair) -> int:
    """
    How many streams nobody has accepted.
    """
    return len(pair.server.engine.table.pending)


@pytest.mark.parametrize("wire", KINDS)
def test_names(wire: str) -> None:
    """
    While the name of a protocol is agreed upon its stream counts, and no longer;
    one that is beyond the limit is refused, with a line in the log.
    """
    echo = Recorders()
    pair = served(NamedProtocols({ECHO: echo}), wire)
    opened(pair, 2)
    assert waiting(pair) == 2
    with logged() as lines:
        (third,) = opened(pair)
        opened(pair, 5)
    assert third.events == ["made", third.reason.type]
    assert "was reset by the peer" in str(third.reason.value)
    name = "client-2" if wire == "mplex" else "5"
    session = f"{wire} session with {describeAddress(MemoryConnection.CLIENT)}"
    assert lines == [
        f"{session}: stream {name} is refused: 2 streams of the peer's wait to be accepted (limit maxPending: 2)"
    ]
    # They have ten seconds.
    pair.advance(11)
    assert waiting(pair) == 0
    factory = Recorders()
    endpoint = pair.client.clientEndpoint(protocol=ECHO)
    outcomes = [Outcome(endpoint.connect(factory)) for _ in range(2)]
    pair.pump()
    assert [outcome.result for outcome in outcomes] == factory.built
    assert len(echo.built) == 2
    assert waiting(pair) == 0


def test_saidOnceAMinute() -> None:
    """
    However many streams are refused, there is one line a minute.
    """
    pair = served(NamedProtocols({ECHO: Recorders()}))
    with logged() as lines:
        for _ in range(13):
            opened(pair, 4)
            pair.advance(9.5)
            assert waiting(pair) == 2
            pair.advance(0.5)
            assert waiting(pair) == 0
    assert len([line for line in lines if "maxPending" in line]) == 3


def test_refusedOpener() -> None:
    """
    Whoever waits for an acknowledgement hears of the refusal.
    """
    pair = SessionPair(
        clientConfig=MuxConfig(opening="ack"),
        serverConfig=TWO,
        serverStreams=NamedProtocols({ECHO: Recorders()}),
    )
    outcomes = [Outcome(pair.client.openStream(Recorders())) for _ in range(3)]
    pair.pump()
    assert [bool(outcome.results) for outcome in outcomes] == [True] * 3
    outcomes[2].failed(StreamRefused)


def test_noBound() -> None:
    """
    With 0 there is no bound but C{maxStreams}.
    """
    pair = SessionPair(
        serverConfig=MuxConfig(maxPending=0),
        serverStreams=NamedProtocols({ECHO: Recorders()}),
    )
    opened(pair, 1000)
    assert waiting(pair) == 1000


@pytest.mark.parametrize("how", ["reset", "end", "session"])
def test_gone(how: str) -> None:
    """
    Streams that are gone do not count any more, however they went.
    """
    pair = served(NamedProtocols({ECHO: Recorders()}))
    both = opened(pair, 2)
    assert waiting(pair) == 2
    for each in both:
        if how == "reset":
            each.transport.abortConnection()
        elif how == "end":
            each.transport.loseConnection()
    if how == "session":
        pair.client.abort()
    pair.pump()
    assert waiting(pair) == 0


def test_bridge() -> None:
    """
    A stream that is bridged counts until the target is connected, or can't be.
    """
    network = Network()
    bridge = Bridge(network.clock, "test", network)
    pair = served(bridge, clock=network.clock)
    both = opened(pair, 2)
    assert waiting(pair) == 2
    (third,) = opened(pair)
    assert third.events == ["made", third.reason.type]
    targets = Peers()
    network.listen(targets)
    network.accept()
    assert waiting(pair) == 1
    network.refuse()
    assert waiting(pair) == 0
    both[0].transport.write(b"hello")
    pair.pump()
    assert targets.built[0].data == b"hello"


def test_socks() -> None:
    """
    With SOCKS behind the bridge that is when the client's request is granted.
    """
    clock = Clock()
    clock.names["example.org"] = [IPv4Address("TCP", PUBLIC, 80)]
    target = Network(clock)
    target.listen(Factory.forProtocol(lambda: End()))
    endpoint = SocksEndpoint(
        clock, AllowList("*"), None, 12.0, lambda *arguments: target
    )
    pair = served(Bridge(clock, "test", endpoint, "socks5:"), clock=clock)
    first, second = opened(pair, 2)
    assert waiting(pair) == 2
    first.transport.write(wanting("example.org"))
    pair.pump()
    assert waiting(pair) == 2
    target.accept()
    assert waiting(pair) == 1
    # The other has ten seconds.
    pair.advance(11)
    assert second.reason is not None
    assert waiting(pair) == 0


class Deferring(Protocol):
    """
    A protocol that is not ready yet.
    """

    def connectionMade(self) -> None:
        """
        Say so.
        """
        transport: Any = self.transport
        transport.deferAccepting()
        transport.deferAccepting()


def test_ourOwnStreams() -> None:
    """
    Streams that this side opens are not concerned.
    """
    pair = served(Peers())
    pair.server.openStream(Factory.forProtocol(Deferring))
    pair.pump()
    assert waiting(pair) == 0


def test_protocolOfOnesOwn() -> None:
    """
    Any protocol can say that it is not ready.
    """
    pair = served(Factory.forProtocol(Deferring))
    opened(pair, 3)
    assert waiting(pair) == 2
    for stream in tuple(pair.server.engine.streams.values()):
        transport: Any = stream.handler
        transport.accept()
        transport.accept()
    assert waiting(pair) == 0
    # It is too late to defer for whoever has gone.
    transport.abortConnection()
    transport.deferAccepting()
    assert waiting(pair) == 0
