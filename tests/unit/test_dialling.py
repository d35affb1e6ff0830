"""
Carriers that are dialled on demand; those that are kept up are in
L{tests.unit.test_keeping_up}.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionLost,
    NoProtocol,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from tests.unit.carrying import (
    Network,
    Peer,
    Peers,
    failureOf,
    logged,
    pending,
    resultOf,
)
from twisted_mux.address import MuxAddress
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.errors import ConfigError, KeyInUse, KeysExhausted, SessionClosed
from twisted_mux.reasons import SessionLost, StreamRefused
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import Key
from twisted_mux.wire.yamux import YamuxCodec


class Net:
    """
    A network with a mux listening, and a client endpoint.
    """

    def __init__(self, wire: str = "yamux", **options: Any) -> None:
        config = options.pop("serverConfig", MuxConfig(goAway="first"))
        self.network = Network()
        self.clock = self.network.clock
        self.peers = Peers()
        server = MuxServerEndpoint(self.clock, self.network, wire=wire, config=config)
        self.port: Any = resultOf(server.listen(self.peers))
        self.client = MuxClientEndpoint(self.clock, self.network, wire=wire, **options)

    def connect(self) -> Deferred[Any]:
        """
        Connect, by the client endpoint.
        """
        deferred: Deferred[Any] = self.client.connect(Peers())
        self.clock.settle()
        return deferred

    def connected(self) -> Peer:
        """
        The peer of a connect that works, and is accepted if need be.
        """
        deferred = self.connect()
        while self.network.dials:
            self.network.accept()
        peer: Peer = resultOf(deferred)
        return peer

    def close(self, *peers: Peer) -> None:
        """
        Close peers' connections.
        """
        for peer in peers:
            peer.stream.loseConnection()
        self.clock.settle()


def isOver(session: CarrierSession) -> bool:
    """
    Has it ended?
    """
    return session.over


def sessionOf(peer: Peer) -> CarrierSession:
    """
    The session that a connection belongs to.
    """
    session: CarrierSession = peer.stream.session
    return session


@pytest.mark.parametrize("wire", wireNames())
def test_oneCarrierForAll(wire: str) -> None:
    """
    Connects while a carrier is dialled, and those after it, share it.
    """
    net = Net(wire)
    first, second = net.connect(), net.connect()
    assert len(net.network.dials) == 1
    assert pending(first)
    net.network.accept()
    peers = [resultOf(first), resultOf(second), net.connected()]
    assert len({sessionOf(peer) for peer in peers}) == 1
    assert net.port.carriersAccepted == 1
    for peer in peers:
        peer.stream.write(b"x")
    net.clock.settle()
    assert [peer.data for peer in net.peers.built] == [b"x"] * 3
    assert net.client.sessions == (sessionOf(peers[0]),)


def test_nothingIsDialledBefore() -> None:
    assert not Net().network.dials


def test_failedDial() -> None:
    """
    Those who wait fail, and the next connect dials anew.
    """
    net = Net()
    waiting = [net.connect(), net.connect()]
    net.network.refuse()
    for deferred in waiting:
        assert failureOf(deferred).check(Refused)
    net.connected()
    assert not net.client._source.current()._retryCall


def test_endpointThatRaises() -> None:
    """
    An endpoint that raises, rather than returning a failure, is no exception.
    """
    net = Net()
    net.network.connect = None  # type: ignore[assignment, method-assign]
    assert failureOf(net.connect()).check(TypeError)


def test_cancelledWhileDialling() -> None:
    """
    The dial goes on for the others, and is given up with the last one.
    """
    net = Net()
    first, second = net.connect(), net.connect()
    first.cancel()
    failure = failureOf(first)
    assert failure.check(ConnectingCancelledError)
    error: Any = failure.value
    assert error.address == MuxAddress("yamux", None)
    dial = net.network.dials[0]
    assert [dial.cancelled] == [False]
    second.cancel()
    assert failureOf(second).check(ConnectingCancelledError)
    assert dial.cancelled
    assert not net.client._source.current().members


def test_cancelledFirstAndOthersConnect() -> None:
    net = Net()
    first, second = net.connect(), net.connect()
    first.cancel()
    failureOf(first)
    net.network.accept()
    assert resultOf(second)
    assert len(net.peers.built) == 1


def test_cancelledWhileOpening() -> None:
    """
    The stream is reset, the carrier stays.
    """
    net = Net()
    peer = net.connected()
    deferred = net.client.connect(Peers())
    deferred.cancel()
    assert failureOf(deferred).check(ConnectingCancelledError)
    net.clock.settle()
    assert peer.reason is None
    assert sessionOf(peer).takesStreams


def test_cancelledByOneThatWaitsToo() -> None:
    """
    Who fails first may cancel the others.
    """
    net = Net()

    class Raises(Peers):
        def doStart(self) -> None:
            raise ZeroDivisionError

    deferred = net.client.connect(Raises())
    other = net.connect()
    reasons: list[Failure] = []
    deferred.addErrback(reasons.append).addErrback(reasons.append)
    deferred.addCallback(lambda _: other.cancel())
    net.network.accept()
    assert reasons[0].check(ZeroDivisionError)
    assert failureOf(other).check(ConnectingCancelledError)
    # Nobody uses the carrier: it is kept for as long as it would be after use.
    net.clock.advance(61)
    assert not net.client.sessions


class Cancels(Peers):
    """
    Has the connect cancelled as soon as it is started.
    """

    deferred: Deferred[Any]

    def doStart(self) -> None:
        """
        Cancel.
        """
        super().doStart()
        self.deferred.cancel()


def test_cancelledByTheFactory() -> None:
    net = Net()
    factory = Cancels()
    deferred = factory.deferred = net.client.connect(factory)
    net.network.accept()
    assert failureOf(deferred).check(ConnectingCancelledError)
    assert not net.client.sessions[0].engine.streams
    assert factory.running == 0


def test_failedByOneThatWaitsToo() -> None:
    """
    The same where all of them fail.
    """
    net = Net()
    deferred, other = net.connect(), net.connect()
    deferred.addErrback(lambda _: other.cancel())
    net.network.refuse()
    assert failureOf(other).check(ConnectingCancelledError)


def test_buildProtocolReturnsNone() -> None:
    class Nothing(Peers):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    net = Net()
    net.connected()
    deferred = net.client.connect(Nothing())
    net.clock.settle()
    assert failureOf(deferred).check(NoProtocol)


def test_factoryIsStartedAndStopped() -> None:
    """
    As by any endpoint: started before the protocol is built, stopped when the
    connection is over.
    """
    net = Net()
    factory = Peers()
    deferred = net.client.connect(factory)
    net.network.accept()
    assert factory.running == 1
    net.close(resultOf(deferred))
    assert factory.running == 0


# Carriers without streams.


@pytest.mark.parametrize("wire", wireNames())
def test_idle(wire: str) -> None:
    """
    A carrier is kept for a while after its last stream, and then closed.
    """
    net = Net(wire, idle=5)
    first, second = net.connected(), net.connected()
    session = sessionOf(first)
    net.clock.advance(20)
    assert not isOver(session)
    net.close(first)
    net.clock.advance(20)
    assert not isOver(session)
    net.close(second)
    net.clock.advance(4)
    assert not isOver(session)
    third = net.connected()
    assert sessionOf(third) is session
    net.clock.advance(20)
    assert not isOver(session)
    net.close(third)
    net.clock.advance(4)
    assert not isOver(session)
    net.clock.advance(2)
    assert isOver(session)
    assert not net.client.sessions
    assert not net.port.sessions
    assert not net.clock.getDelayedCalls()


def test_idleByDefault() -> None:
    net = Net()
    peer = net.connected()
    net.close(peer)
    net.clock.advance(59)
    assert net.client.sessions
    net.clock.advance(2)
    assert not net.client.sessions


def test_notKept() -> None:
    """
    With 0 a carrier is closed when its last stream is over.
    """
    net = Net(idle=0)
    first, second = net.connected(), net.connected()
    net.close(first)
    assert net.client.sessions
    net.close(second)
    assert not net.client.sessions
    assert not net.clock.getDelayedCalls()
    net.connected()
    assert net.port.carriersAccepted == 2


def test_idleWithStreamsOfThePeer() -> None:
    """
    Streams that the peer has opened keep a carrier.
    """
    net = Net(idle=5)
    dial = net.client.serverEndpoint()
    port: Any = resultOf(dial.listen(Peers()))
    net.network.accept()
    ours = net.connected()
    theirs = resultOf(_connectBack(net))
    port.stopListening()
    net.close(ours)
    net.clock.advance(12)
    assert not isOver(sessionOf(theirs))
    theirs.stream.loseConnection()
    net.clock.advance(12)
    assert isOver(sessionOf(theirs))


def _connectBack(net: Net) -> Deferred[Any]:
    deferred: Deferred[Any] = net.port.sessions[-1].openStream(Peers())
    net.clock.settle()
    return deferred


def test_idleAndLost() -> None:
    """
    A carrier that is lost while it is idle leaves nothing behind.
    """
    net = Net(idle=5)
    net.close(net.connected())
    net.network.connections[0].cut()
    net.clock.settle()
    assert not net.clock.getDelayedCalls()


def test_unusedAfterGoAway() -> None:
    """
    A carrier that takes no more streams isn't kept when its last one is over.
    """
    net = Net(idle=5)
    peer = net.connected()
    net.port.sessions[0].close(0)
    net.clock.settle()
    net.close(peer)
    assert not net.client.sessions
    assert not net.clock.getDelayedCalls()


# Carriers that are replaced.


def test_lostCarrier() -> None:
    net = Net()
    peer = net.connected()
    with logged("info") as messages:
        net.network.connections[0].cut()
        net.clock.settle()
    assert peer.reason is not None
    assert peer.reason.check(ConnectionLost)
    assert len(messages) == 2
    assert all("carrier down: " in message for message in messages)
    again = net.connected()
    assert sessionOf(again) is not sessionOf(peer)


def test_drainingCarrier() -> None:
    """
    After the peer's go-away streams go to another carrier; live ones stay.
    """
    net = Net()
    peer = net.connected()
    net.port.sessions[0].close(0)
    net.clock.settle()
    again = net.connected()
    assert sessionOf(again) is not sessionOf(peer)
    net.close(peer)
    assert list(net.client.sessions) == [sessionOf(again)]
    assert again.reason is None


def test_closedCarrier() -> None:
    """
    So they do after our own close.
    """
    net = Net()
    peer = net.connected()
    sessionOf(peer).close(0)
    again = net.connected()
    assert sessionOf(again) is not sessionOf(peer)


def limitIds(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """
    Have yamux run out of ids after so many streams of a session.
    """

    class Short(YamuxCodec):
        def keys(self) -> Iterator[Key]:
            return islice(super().keys(), most)

    codecs = {**wires(), "yamux": Short}
    monkeypatch.setattr("twisted_mux.wire.wires", lambda: codecs)


def test_idsUsedUp(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A stream for which there is no id any more gets one on another carrier.
    """
    limitIds(monkeypatch, 2)
    net = Net()
    peers = [net.connected() for _ in range(5)]
    assert len({sessionOf(peer) for peer in peers}) == 3
    for peer in peers:
        peer.stream.write(b"x")
    net.clock.settle()
    assert [peer.data for peer in net.peers.built] == [b"x"] * 5


def test_idsNeverThere(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Trying again is done once.
    """
    limitIds(monkeypatch, 0)
    net = Net()
    deferred = net.connect()
    net.network.accept()
    net.network.accept()
    assert failureOf(deferred).check(KeysExhausted)
    assert not net.network.dials


def test_racingGoAway() -> None:
    """
    An open that is refused since the peer's go-away was on its way is tried
    again on another carrier, if the application has not been told yet.
    """
    net = Net(config=MuxConfig(opening="ack"))
    net.connected()
    net.port.sessions[0].close(0)
    # The open and the go-away cross each other.
    deferred = net.connect()
    assert pending(deferred)
    assert len(net.network.dials) == 1
    net.network.accept()
    assert resultOf(deferred).stream.session.takesStreams


def test_racingGoAwayThatIsNoSecret() -> None:
    """
    An application that was told has to cope.
    """
    net = Net()
    net.connected()
    net.port.sessions[0].close(0)
    peer = net.connected()
    assert peer.reason is not None
    assert peer.reason.check(ConnectionLost)
    assert not net.network.dials


def test_racingLoss() -> None:
    """
    A carrier that was dead all the time is replaced as well.
    """
    net = Net(config=MuxConfig(opening="ack"))
    net.connected()
    net.network.connections[0].stall()
    deferred = net.connect()
    net.network.connections[0].cut()
    net.clock.settle()
    assert pending(deferred)
    net.network.accept()
    assert resultOf(deferred)


def test_refusedIsRefused() -> None:
    """
    A peer that takes streams, but not this one, is not asked twice.
    """
    net = Net(config=MuxConfig(opening="ack"), serverConfig=MuxConfig(maxStreams=1))
    net.connected()
    deferred = net.connect()
    assert failureOf(deferred).check(StreamRefused)
    assert not net.network.dials


def test_refusingCarrier() -> None:
    """
    A carrier whose peer has refused a stream gets no more: the peer may be about
    to leave without saying so, as this one is.
    """
    net = Net(serverConfig=MuxConfig(goAway="last"))
    peer = net.connected()
    net.port.sessions[0].close(0)
    net.clock.settle()
    refused = net.connected()
    assert sessionOf(refused) is sessionOf(peer)
    assert refused.reason is not None
    assert refused.reason.check(ConnectionLost)
    for _ in range(2):
        assert sessionOf(net.connected()) is not sessionOf(peer)
    assert net.port.carriersAccepted == 2
    assert peer.reason is None
    net.close(peer)
    assert len(net.client.sessions) == 1


def test_resetIsNoRefusal() -> None:
    """
    A stream that is reset later on says nothing about others.
    """
    net = Net()
    first, second = net.connected(), net.connected()
    net.peers.built[0].stream.abortConnection()
    net.clock.settle()
    assert first.reason is not None
    assert sessionOf(net.connected()) is sessionOf(second)


def test_closedOnPurpose() -> None:
    """
    C{closeCarriers} is no accident that would be mended.
    """
    net = Net(config=MuxConfig(opening="ack", maxUnacknowledged=1))
    net.connected()
    net.network.connections[0].stall()
    opening, waiting = net.connect(), net.connect()
    closed = net.client.closeCarriers()
    net.network.connections[0].cut()
    net.clock.settle()
    assert failureOf(opening).check(SessionLost)
    assert failureOf(waiting).check(SessionClosed)
    assert resultOf(closed) is None
    assert not net.network.dials


def test_closeCarriers() -> None:
    """
    Streams finish, dials are given up, and the next connect dials.
    """
    net = Net(carriers=2)
    peer = net.connected()
    waiting = net.connect()
    closed = net.client.closeCarriers()
    net.clock.settle()
    # The other carrier takes nothing more.
    assert failureOf(waiting).check(CancelledError)
    assert net.network.dials.pop().cancelled
    assert pending(closed)
    net.close(peer)
    assert resultOf(closed) is None
    net.connected()


# Several carriers.


def test_spread() -> None:
    """
    Streams go to the carrier that has the fewest, and carriers are dialled when
    none has nothing to do.
    """
    net = Net(carriers=3)
    first = net.connected()
    assert len(net.client.sessions) == 1
    rest = [net.connect() for _ in range(5)]
    assert len(net.network.dials) == 2
    assert [pending(deferred) for deferred in rest] == [True, True, False, True, True]
    net.network.accept()
    net.network.accept()
    peers = [first, *map(resultOf, rest)]
    sessions = [sessionOf(peer) for peer in peers]
    assert sorted(sessions.count(session) for session in set(sessions)) == [2, 2, 2]
    net.close(peers[0], peers[1])
    assert sessionOf(net.connected()) in sessions[:2]


def test_oneOfThemIsIdle() -> None:
    """
    No carrier is dialled as long as one has nothing to do.
    """
    net = Net(carriers=3)
    for _ in range(4):
        net.close(net.connected())
    assert net.port.carriersAccepted == 1


def test_spreadAndFail() -> None:
    """
    Those that wait for a dial that fails go to another carrier.
    """
    net = Net(carriers=3)
    first = net.connected()
    second, third = net.connect(), net.connect()
    net.network.refuse()
    assert resultOf(second).stream.session is sessionOf(first)
    net.network.accept()
    assert resultOf(third).stream.session is not sessionOf(first)


def test_allDialsFail() -> None:
    net = Net(carriers=2)
    waiting = [net.connect() for _ in range(4)]
    net.network.refuse()
    assert all(pending(deferred) for deferred in waiting)
    net.network.refuse()
    for deferred in waiting:
        assert failureOf(deferred).check(Refused)


# What streams are opened with.


def test_name() -> None:
    net = Net("mplex", name=b"chat")
    net.connected()
    assert net.peers.built[0].stream.name == b"chat"


def test_address() -> None:
    """
    An address can be used by one stream at a time.
    """
    net = Net("vtmux", address=("192.0.2.9", 80))
    peer = net.connected()
    assert net.peers.built[0].stream.address == ("192.0.2.9", 80)
    assert failureOf(net.connect()).check(KeyInUse)
    net.close(peer)
    net.connected()


def test_impossibleAddress() -> None:
    net = Net("vtmux", address=("localhost", 80))
    deferred = net.connect()
    net.network.accept()
    assert failureOf(deferred).check(ConfigError)


@pytest.mark.parametrize(
    "options",
    [
        {"wire": "quic"},
        {"wire": "auto"},
        {"name": b"x"},
        {"address": ("192.0.2.1", 1)},
        {"idle": -1},
        {"idle": float("nan")},
        {"carriers": 0},
        {"role": "boss"},
    ],
)
def test_wrongArguments(options: dict[str, Any]) -> None:
    network = Network()
    with pytest.raises(ValueError):
        MuxClientEndpoint(network.clock, network, **options)


# Endpoints that wrap.


class Wrapping(Network):
    """
    An endpoint that returns something of its own, as some do.
    """

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        See L{Network}.
        """
        return super().connect(factory).addCallback(lambda _: object())


def test_endpointThatWraps() -> None:
    net = Net()
    net.network.__class__ = Wrapping
    net.connected()


def test_endpointThatConnectsNothing() -> None:
    net = Net()
    net.network.connect = lambda factory: succeed(  # type: ignore[method-assign]
        Protocol()
    )
    assert failureOf(net.connect()).check(NoProtocol)


# Carriers that somebody listens on as well.


def test_idleCarrierIsTakenOver() -> None:
    """
    A carrier that is idle when somebody begins to listen is kept.
    """
    net = Net(idle=5)
    net.close(net.connected())
    port: Any = resultOf(net.client.serverEndpoint().listen(Peers()))
    assert not net.network.dials
    net.clock.advance(50)
    assert len(port.sessions) == 1
    assert resultOf(_connectBack(net))


def test_dialThatOthersWaitFor() -> None:
    """
    When listening stops, the dial goes on for those who connect.
    """
    net = Net()
    port: Any = resultOf(net.client.serverEndpoint().listen(Peers()))
    deferred = net.connect()
    assert len(net.network.dials) == 1
    port.stopListening()
    net.network.accept()
    assert resultOf(deferred)


def test_cancelledConnectLeavesTheDial() -> None:
    """
    And the other way round.
    """
    net = Net()
    resultOf(net.client.serverEndpoint().listen(Peers()))
    deferred = net.connect()
    deferred.cancel()
    failureOf(deferred)
    net.network.accept()
    assert len(net.client.sessions) == 1


def test_connectDoesNotWaitForTheRetry() -> None:
    """
    A connect dials at once, and then nothing is left to be retried.
    """
    net = Net()
    port: Any = resultOf(net.client.serverEndpoint().listen(Peers()))
    net.network.refuse()
    net.connected()
    net.clock.advance(100)
    assert not net.network.dials
    assert len(port.sessions) == 1
