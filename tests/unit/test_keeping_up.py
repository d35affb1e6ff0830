"""
Carriers that are dialled and kept up.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionDone,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, Protocol

from tests.conftest import LoggedErrors
from tests.unit.carrying import (
    Network,
    Peers,
    failureOf,
    logged,
    resultOf,
)
from twisted_mux.address import MuxAddress
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)


class Kept:
    """
    A server endpoint that dials.
    """

    def __init__(self, **options: Any) -> None:
        self.network = Network()
        self.clock = self.network.clock
        # Listens for carriers, and for nothing else.
        config = MuxConfig(goAway="first")
        self.remote = MuxListenEndpoint(self.clock, self.network, config=config)
        self.remote.startListening()
        self.delays: list[int] = []
        self.endpoint = MuxDialEndpoint(
            self.clock,
            self.network,
            retryPolicy=self._policy,
            config=config,
            **options,
        )
        self.peers = Peers()
        self.port: Any = None

    def _policy(self, attempt: int) -> float:
        self.delays.append(attempt)
        return 10 * attempt

    def listen(self) -> Any:
        """
        Begin to dial.
        """
        self.port = resultOf(self.endpoint.listen(self.peers))
        return self.port

    def connect(self) -> Any:
        """
        Let the remote side open a stream.
        """
        deferred = self.remote.connect(Peers())
        self.clock.settle()
        return resultOf(deferred)


def test_keptUp() -> None:
    """
    Streams of whom was dialled are connections; carriers that are lost come
    back.
    """
    kept = Kept()
    port = kept.listen()
    assert port.getHost() == MuxAddress("yamux", None)
    connection = kept.network.accept()
    assert port.getHost() == MuxAddress("yamux", connection.CLIENT)
    assert kept.peers.running == 1
    kept.connect().stream.write(b"x")
    kept.clock.settle()
    assert kept.peers.built[0].data == b"x"
    connection.cut()
    kept.clock.settle()
    assert not port.sessions
    assert not kept.network.dials
    kept.clock.advance(10)
    kept.network.accept()
    kept.connect()
    assert len(kept.peers.built) == 2
    assert port.carriersAccepted == 2
    # The peer had spoken our wire, so it began anew.
    kept.network.connections[1].cut()
    kept.clock.settle()
    assert kept.delays == [1, 1]


def test_nobodyThere() -> None:
    """
    That nobody answers is no failure; it is logged once for each reason.
    """
    kept = Kept()
    with logged() as messages:
        kept.listen()
        for attempt in range(1, 4):
            kept.network.refuse()
            kept.clock.advance(10 * attempt)
        kept.network.refuse(Refused("tired"))
        kept.clock.advance(40)
    assert kept.delays == [1, 2, 3, 4]
    assert len(messages) == 2
    assert messages[0].startswith("Network: no carrier: Connection was refused")
    assert messages[0].endswith("; trying again")
    assert "tired" in messages[1]
    kept.network.accept()
    kept.connect()


def test_reasonsAreLoggedAgain() -> None:
    """
    After a carrier was up, the same reason is news again.
    """
    kept = Kept()
    with logged() as messages:
        kept.listen()
        kept.network.refuse()
        kept.clock.advance(10)
        kept.network.accept().cut()
        kept.clock.advance(20)
        kept.network.refuse()
    assert len(messages) == 2
    # The peer never said anything, so the delays kept growing.
    assert kept.delays == [1, 2, 3]


class Shouter(Protocol):
    """
    Speaks something else.
    """

    def connectionMade(self) -> None:
        """
        Speak.
        """
        assert self.transport is not None
        self.transport.write(b"220 smtp.example.org ESMTP\r\n")


def test_wrongPeerIsNotHammered() -> None:
    """
    A peer that speaks another language is no success.
    """
    kept = Kept()
    kept.network.factory = Factory.forProtocol(Shouter)
    kept.listen()
    for attempt in range(1, 4):
        kept.network.accept()
        kept.clock.advance(10 * attempt)
    assert kept.delays == [1, 2, 3]


def test_stopped() -> None:
    """
    No more dials; live streams go on, then the carrier is closed.
    """
    kept = Kept()
    port = kept.listen()
    kept.network.accept()
    remote = kept.connect()
    assert resultOf(port.stopListening()) is None
    kept.clock.settle()
    assert kept.peers.running == 0
    assert not kept.remote._source.current().members[0].usable
    remote.stream.write(b"x")
    kept.clock.settle()
    assert kept.peers.built[0].data == b"x"
    remote.stream.loseConnection()
    kept.clock.settle()
    assert isinstance(remote.reason.value, ConnectionDone)
    assert not port.sessions
    kept.remote.closeCarriers()
    kept.clock.settle()
    assert not kept.clock.getDelayedCalls()
    # Once is enough.
    assert resultOf(port.stopListening()) is None
    assert kept.peers.running == 0


def test_stoppedWhileDialling() -> None:
    kept = Kept()
    with logged() as messages:
        kept.listen().stopListening()
    assert kept.network.dials[0].cancelled
    assert not kept.clock.getDelayedCalls()
    assert not messages


def test_stoppedWhileWaiting() -> None:
    kept = Kept()
    kept.listen()
    kept.network.refuse()
    kept.port.stopListening()
    assert not kept.clock.getDelayedCalls()


def test_severalKeptUp() -> None:
    """
    As many carriers as asked for, and one timer for all that are missing.
    """
    kept = Kept(carriers=3)
    kept.listen()
    assert len(kept.network.dials) == 3
    kept.network.accept()
    kept.network.refuse()
    kept.network.refuse()
    assert kept.delays == [1]
    kept.clock.advance(10)
    assert len(kept.network.dials) == 2
    kept.network.accept()
    kept.network.accept()
    assert len(kept.port.sessions) == 3


def test_peerLeaves() -> None:
    """
    A carrier whose peer takes no more streams is about to be closed: another
    one is dialled while its streams go on.
    """
    kept = Kept()
    kept.listen()
    kept.network.accept()
    remote = kept.connect()
    remote.stream.session.close(0)
    kept.clock.advance(10)
    kept.network.accept()
    assert len(kept.port.sessions) == 2
    assert kept.connect().stream.session is not remote.stream.session
    remote.stream.loseConnection()
    kept.clock.advance(100)
    assert len(kept.port.sessions) == 1
    assert not kept.network.dials


def test_bothDirections() -> None:
    """
    Streams are opened on carriers that are kept up, which don't count as idle
    ever.
    """
    kept = Kept(idle=0)
    client = MuxClientEndpoint(
        kept.clock, kept.network, _sharing=lambda make: kept.endpoint._source
    )
    port = kept.listen()
    kept.network.accept()
    peers = Peers()
    resultOf(_listen(kept, peers))
    deferred = client.connect(Peers())
    kept.clock.settle()
    peer = resultOf(deferred)
    assert kept.port.sessions == (peer.stream.session,)
    peer.stream.loseConnection()
    kept.clock.advance(100)
    assert len(port.sessions) == 1
    # The idle carrier of a port that has stopped is closed.
    port.stopListening()
    kept.clock.settle()
    assert not port.sessions


def _listen(kept: Kept, peers: Peers) -> Deferred[Any]:
    server = MuxServerEndpoint(
        kept.clock, kept.network, _sharing=lambda make: kept.remote._source
    )
    return server.listen(peers)


def test_keptUpThoughRefusing() -> None:
    """
    A peer that takes no streams itself is no reason to dial.
    """
    kept = Kept()
    client = MuxClientEndpoint(
        kept.clock, kept.network, _sharing=lambda make: kept.endpoint._source
    )
    kept.listen()
    kept.network.accept()
    for _ in range(3):
        deferred = client.connect(Peers())
        kept.clock.settle()
        assert resultOf(deferred).reason
    assert not kept.network.dials


def test_twoFactories() -> None:
    """
    Another factory gets other carriers.
    """
    kept = Kept()
    kept.listen()
    kept.network.accept()
    other = Peers()
    port: Any = resultOf(kept.endpoint.listen(other))
    kept.network.accept()
    assert port.sessions
    assert port.sessions != kept.port.sessions
    # The newest peer is the one that streams go to.
    kept.connect()
    assert len(other.built) == 1
    assert not kept.peers.built


def test_factoryThatDoesNotStart(loggedErrors: LoggedErrors) -> None:
    """
    Then nothing listens.
    """

    class Raises(Peers):
        def doStart(self) -> None:
            raise ZeroDivisionError

    kept = Kept()
    assert failureOf(kept.endpoint.listen(Raises())).check(ZeroDivisionError)
    assert kept.network.dials.pop().cancelled
    kept.listen()
    kept.network.accept()
    kept.connect()
