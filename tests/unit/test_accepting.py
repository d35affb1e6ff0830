"""
Carriers that are accepted: streams that peers open, and streams towards peers.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionLost,
)
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import ILoggingContext

from tests.unit.carrying import (
    Network,
    Peer,
    Peers,
    failureOf,
    logged,
    pending,
    resultOf,
)
from twisted_mux.accepting import MAX_WAITING
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.errors import ConfigError
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.reasons import NoPeer
from twisted_mux.testing import MemoryConnection
from twisted_mux.wire import wireNames


class Net:
    """
    A network with a server endpoint and a client endpoint that share carriers.
    """

    def __init__(self, wire: str = "yamux", wait: float = 30) -> None:
        self.wire = wire
        self.network = Network()
        self.clock = self.network.clock
        self.server = MuxServerEndpoint(self.clock, self.network, wire=wire)
        self.client = self.server.clientEndpoint(wait=wait)
        self.peers = Peers()
        self.dialled: list[MuxProtocol] = []
        self.theirs = Peers()

    def listen(self) -> Any:
        """
        Listen for streams.
        """
        return resultOf(self.server.listen(self.peers))

    def dialIn(self) -> MemoryConnection:
        """
        A peer dials in.
        """
        factory = MuxFactory(
            self.theirs,
            role="client",
            wire=self.wire,
            config=MuxConfig(goAway="first"),
            sessionStarted=self.dialled.append,
            reactor=self.clock,
        )
        self.network.connect(factory)
        return self.network.accept()

    def openByPeer(self) -> Peer:
        """
        The last peer that has dialled in opens a stream.
        """
        deferred = self.dialled[-1].openStream(Peers())
        self.clock.settle()
        peer: Peer = resultOf(deferred)
        return peer

    def connect(self) -> Deferred[Any]:
        """
        Connect, by the client endpoint.
        """
        deferred: Deferred[Any] = self.client.connect(Peers())
        self.clock.settle()
        return deferred


@pytest.mark.parametrize("wire", wireNames())
def test_listen(wire: str) -> None:
    """
    Streams that peers open are connections.
    """
    net = Net(wire)
    assert not net.network.listening
    port = net.listen()
    assert port.getHost() == MemoryConnection.SERVER
    assert (port.carriersAccepted, port.sessions) == (0, ())
    net.dialIn()
    assert port.carriersAccepted == len(port.sessions) == 1
    net.openByPeer().stream.write(b"x")
    net.clock.settle()
    assert net.peers.built[0].data == b"x"
    net.dialled[0].abort()
    net.clock.settle()
    assert (port.carriersAccepted, port.sessions) == (1, ())
    port.startListening()


def test_whatPortsCallIt() -> None:
    net = Net("smux2")
    net.listen()
    assert ILoggingContext(net.network.factory).logPrefix() == "mux (smux2)"
    net.network.factory.doStop()


def test_stopListening() -> None:
    """
    No more carriers, no more streams; live streams go on, and then the carrier is
    closed, however long that takes.
    """
    net = Net()
    port = net.listen()
    assert net.peers.running == 1
    net.dialIn()
    peer = net.openByPeer()
    assert resultOf(port.stopListening()) is None
    assert net.network.factory is None
    assert net.peers.running == 0
    net.clock.advance(10_000)
    assert net.openByPeer().reason
    peer.stream.write(b"x")
    net.clock.settle()
    assert net.peers.built[0].data == b"x"
    assert port.sessions
    peer.stream.loseConnection()
    net.clock.settle()
    assert not port.sessions
    assert port.getHost() == MemoryConnection.SERVER
    with pytest.raises(CannotListenError, match="has been stopped"):
        port.startListening()
    assert resultOf(port.stopListening()) is None
    assert net.peers.running == 0


def test_cannotListen() -> None:
    """
    What the carriers' endpoint says; and then another try is free to succeed.
    """
    net = Net()
    net.network.refuses = CannotListenError(None, None, OSError("in use"))
    assert failureOf(net.server.listen(net.peers)).check(CannotListenError)
    assert net.peers.running == 0
    net.network.refuses = None
    net.listen()


def test_twoFactories() -> None:
    """
    Whether two can listen is for the carriers' endpoint to say.
    """
    net = Net()
    one = net.listen()
    two = net.listen()
    assert net.network.listening == 2
    net.dialIn()
    assert (len(one.sessions), len(two.sessions)) == (0, 1)


class Slow(Network):
    """
    Takes its time to listen.
    """

    ports: list[Any]
    cancelled = False

    def listen(self, factory: Any) -> Deferred[Any]:
        """
        See L{Network}.
        """

        def cancel(_: object) -> None:
            self.cancelled = True

        self.slow: Deferred[Any] = Deferred(cancel)
        result = super().listen(factory)
        self.port = resultOf(result)
        return self.slow


def test_twoAtOnce() -> None:
    """
    Two factories that listen while the port is being opened don't get in each
    other's way.
    """
    net = Net()
    net.network.__class__ = Slow
    network: Any = net.network
    one: Deferred[Any] = net.server.listen(net.peers)
    first = network.slow
    other = Peers()
    two: Deferred[Any] = net.server.listen(other)
    network.slow.callback(network.port)
    first.callback(network.port)
    assert resultOf(one) is not resultOf(two)


def test_cancelledListen() -> None:
    """
    The port is not opened when nobody waits for it any more.
    """
    net = Net()
    net.network.__class__ = Slow
    network: Any = net.network
    listening, connecting = net.server.listen(net.peers), net.connect()
    listening.cancel()
    assert failureOf(listening).check(CancelledError)
    assert not network.cancelled
    connecting.cancel()
    assert failureOf(connecting).check(ConnectingCancelledError)
    opening = net.client.startListening()
    network.slow.callback(network.port)
    assert resultOf(opening) is network.port
    assert net.peers.running == 0


def test_cancelledAlone() -> None:
    net = Net()
    net.network.__class__ = Slow
    network: Any = net.network
    listening = net.server.listen(net.peers)
    listening.cancel()
    assert failureOf(listening).check(CancelledError)
    assert network.cancelled


def test_cancelledInVain() -> None:
    """
    A port that is opened in spite of it is closed.
    """
    net = Net()
    net.network.__class__ = Slow
    network: Any = net.network
    listening = net.server.listen(net.peers)
    # An endpoint that does not mind being cancelled.
    network.slow._canceller = lambda deferred: deferred.callback(network.port)
    listening.cancel()
    assert failureOf(listening).check(CancelledError)
    assert net.network.factory is None


class NoPort(Network):
    """
    Returns something that is no port, as C{stdio:} does.
    """

    def listen(self, factory: Any) -> Deferred[Any]:
        """
        See L{Network}.
        """
        super().listen(factory)
        return succeed(object())


def test_notEverythingIsAPort() -> None:
    net = Net()
    net.network.__class__ = NoPort
    port = net.listen()
    assert port.getHost() is None
    net.dialIn()
    assert resultOf(port.stopListening()) is None
    net.clock.settle()
    assert not port.sessions


# Streams towards peers.


@pytest.mark.parametrize("wire", wireNames())
def test_connect(wire: str) -> None:
    """
    The first connect listens for carriers; streams go to who has dialled in.
    """
    net = Net(wire)
    first, second = net.connect(), net.connect()
    assert net.network.listening == 1
    assert pending(first)
    net.dialIn()
    assert resultOf(first).stream.session is resultOf(second).stream.session
    assert resultOf(net.connect())
    assert len(net.theirs.built) == 3
    assert net.client.sessions == (resultOf(first).stream.session,)


def test_newestFirst() -> None:
    """
    A newly dialled-in peer takes over from a dead one that nobody has noticed
    yet; and the older ones when it is gone.
    """
    net = Net()
    net.client.startListening()
    net.dialIn().stall()
    second = net.dialIn()
    third = net.dialIn()
    sessions = net.client.sessions
    assert resultOf(net.connect()).stream.session is sessions[2]
    third.cut()
    net.clock.settle()
    assert resultOf(net.connect()).stream.session is sessions[1]
    second.cut()
    net.clock.settle()
    assert net.client.sessions == sessions[:1]


def test_drainingPeerIsSkipped() -> None:
    net = Net()
    net.client.startListening()
    net.dialIn()
    net.dialIn()
    sessions = net.client.sessions
    resultOf(net.connect())
    net.dialled[1].close(0)
    net.clock.settle()
    assert resultOf(net.connect()).stream.session is sessions[0]


def test_refusingPeerIsSkipped() -> None:
    """
    A peer that has refused a stream is asked only if there is no other.
    """
    net = Net()
    net.client.startListening()
    net.dialIn()
    net.dialIn()
    older, newer = net.client.sessions
    net.dialled[1].streamFactory = None
    refused = resultOf(net.connect())
    assert refused.stream.session is newer
    assert refused.reason
    assert resultOf(net.connect()).stream.session is older
    net.network.connections[0].cut()
    net.clock.settle()
    assert resultOf(net.connect()).stream.session is newer


def test_nobodyDialsIn() -> None:
    """
    Waiting has an end.
    """
    net = Net(wait=5)
    deferred = net.connect()
    net.clock.advance(4)
    assert pending(deferred)
    net.clock.advance(2)
    failure = failureOf(deferred)
    assert failure.check(NoPeer, TwistedTimeout)
    assert failure.getErrorMessage() == (
        "no peer has dialled in at Network within 5 seconds"
    )
    net.dialIn()
    assert resultOf(net.connect())
    assert not net.client._source.current()._waiting


def test_tooManyWait() -> None:
    net = Net()
    waiting = [net.client.connect(Peers()) for _ in range(MAX_WAITING)]
    failure = failureOf(net.connect())
    assert failure.check(NoPeer)
    assert "1000 connects wait" in failure.getErrorMessage()
    for deferred in waiting:
        assert pending(deferred)
        deferred.cancel()
        failureOf(deferred)
    assert not net.clock.getDelayedCalls()


def test_cancelled() -> None:
    """
    One that is cancelled waits no more.
    """
    net = Net()
    first, second = net.connect(), net.connect()
    first.cancel()
    assert failureOf(first).check(ConnectingCancelledError)
    net.dialIn()
    assert resultOf(second)
    assert len(net.theirs.built) == 1


def test_cancelledByAnother() -> None:
    """
    Who gets a stream may cancel those that wait as well.
    """
    net = Net()

    class Raises(Peers):
        def doStart(self) -> None:
            raise ZeroDivisionError

    first = net.client.connect(Raises())
    second = net.connect()
    first.addErrback(lambda _: second.cancel())
    net.dialIn()
    assert failureOf(second).check(ConnectingCancelledError)


def test_cancelledByTheFactory() -> None:
    net = Net()

    class Cancels(Peers):
        def doStart(self) -> None:
            deferred.cancel()

    deferred = net.client.connect(Cancels())
    net.dialIn()
    assert failureOf(deferred).check(ConnectingCancelledError)
    assert not net.client.sessions[0].engine.streams


def test_portCannotBeOpened() -> None:
    """
    All that wait fail, and the next connect tries again.
    """
    net = Net()
    net.network.__class__ = Slow
    network: Any = net.network
    first, second, third = net.connect(), net.connect(), net.connect()
    first.addErrback(lambda _: second.cancel())
    network.slow.errback(CannotListenError(None, None, OSError("in use")))
    assert failureOf(second).check(ConnectingCancelledError)
    assert failureOf(third).check(CannotListenError)
    assert not net.clock.getDelayedCalls()
    net.network.__class__ = Network
    deferred = net.connect()
    net.dialIn()
    assert resultOf(deferred)


def test_tryingAgain() -> None:
    """
    A stream that came too late for one peer waits for another.
    """
    net = Net(wait=5)
    net.client = MuxListenEndpoint(
        net.clock, net.network, config=MuxConfig(opening="ack"), wait=5
    )
    net.client.startListening()
    net.dialIn().stall()
    deferred = net.connect()
    net.network.connections[0].cut()
    net.clock.settle()
    assert pending(deferred)
    net.dialIn()
    assert resultOf(deferred)


def test_lostWhileOpening() -> None:
    net = Net()
    net.client.startListening()
    net.dialIn()
    peer = resultOf(net.connect())
    net.network.connections[0].cut()
    net.clock.settle()
    assert peer.reason.check(ConnectionLost)


# Both directions, one port.


def test_bothDirections() -> None:
    """
    Who listens and who connects share the port and the carriers.
    """
    net = Net()
    port = net.listen()
    assert resultOf(net.client.startListening()).getHost() == port.getHost()
    assert net.network.listening == 1
    net.dialIn()
    net.openByPeer()
    resultOf(net.connect())
    assert (len(net.peers.built), len(net.theirs.built)) == (1, 1)
    assert len(port.sessions) == 1


def test_listeningEndsFirst() -> None:
    """
    Connecting goes on.
    """
    net = Net()
    port = net.listen()
    net.client.startListening()
    net.dialIn()
    port.stopListening()
    net.clock.settle()
    assert net.openByPeer().reason
    assert resultOf(net.connect())
    assert net.network.factory
    net.listen()
    assert net.network.listening == 1
    assert not net.openByPeer().reason


def test_connectingEndsFirst() -> None:
    """
    Listening goes on.
    """
    net = Net()
    port = net.listen()
    net.client.startListening()
    net.dialIn()
    assert resultOf(net.client.closeCarriers()) is None
    net.clock.settle()
    assert not net.openByPeer().reason
    port.stopListening()
    assert net.network.factory is None


def test_closeCarriers() -> None:
    """
    Nobody waits any more, the port is closed, and the carriers when their streams
    are over.
    """
    net = Net()
    net.client.startListening()
    net.dialIn()
    peer = resultOf(net.connect())
    assert resultOf(net.client.closeCarriers()) is None
    net.clock.settle()
    assert net.network.factory is None
    assert net.client.sessions
    peer.stream.loseConnection()
    net.clock.settle()
    assert not net.client.sessions
    waiting = net.connect()
    assert net.network.listening == 2
    net.client.closeCarriers()
    assert failureOf(waiting).check(NoPeer)
    assert not net.clock.getDelayedCalls()


def test_log() -> None:
    """
    One line for each carrier that comes, and one when it goes.
    """
    net = Net()
    net.listen()
    with logged("info") as messages:
        net.dialIn()
        net.dialled[0].close()
        net.clock.settle()
    assert messages[0] == "yamux session with 192.0.2.1:49152: carrier up"
    assert messages[-1] == "yamux session with 192.0.2.1:49152: carrier down"


def test_offendersAreLoggedOnce() -> None:
    """
    A peer that breaks the protocol is named by its session, and not again.
    """
    net = Net()
    net.listen()
    connection = MemoryConnection(net.clock)
    connection.connect(Peer(), net.network.factory.buildProtocol(None))
    with logged("info") as infos, logged() as warnings:
        connection.client.write(b"\x05" * 12)
        net.clock.settle()
    assert len(warnings) == 1
    assert not infos


@pytest.mark.parametrize(
    "options",
    [
        {"wire": "quic"},
        {"wire": "auto"},
        {"name": b"x"},
        {"address": ("192.0.2.1", 1)},
        {"wait": -1},
        {"wait": float("inf")},
        {"role": "boss"},
    ],
)
def test_wrongArguments(options: dict[str, Any]) -> None:
    network = Network()
    with pytest.raises(ValueError):
        MuxListenEndpoint(network.clock, network, **options)


@pytest.mark.parametrize("options", [{"wire": "quic"}, {"role": "boss"}])
def test_wrongArgumentsOfServers(options: dict[str, Any]) -> None:
    network = Network()
    with pytest.raises(ValueError):
        MuxServerEndpoint(network.clock, network, **options)


def test_autoIsOnlyForServers() -> None:
    network = Network()
    server = MuxServerEndpoint(network.clock, network, wire="auto")
    with pytest.raises(ConfigError, match="wire=auto means nothing for mux-listen:"):
        server.clientEndpoint()


@pytest.mark.parametrize("wire", ["mplex", "vtmux"])
def test_labels(wire: str) -> None:
    """
    Streams are opened with a name or an address.
    """
    net = Net(wire)
    address = ("192.0.2.9", 80) if wire == "vtmux" else None
    name = b"" if address else b"chat"
    net.client = net.server.clientEndpoint(name=name, address=address)
    deferred = net.connect()
    net.dialIn()
    resultOf(deferred)
    stream = net.theirs.built[0].stream
    assert (stream.name, stream.address) == (name, address)


def test_roles() -> None:
    """
    The sides may be the wrong way round, if both know.
    """
    network = Network()
    server = MuxServerEndpoint(network.clock, network, role="client")
    peers = Peers()
    resultOf(server.listen(peers))
    client = MuxClientEndpoint(network.clock, network, role="server")
    deferred: Deferred[Any] = client.connect(Peers())
    network.accept()
    assert resultOf(deferred).stream.streamId == "2"
    assert len(peers.built) == 1
