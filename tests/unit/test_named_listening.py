"""
Endpoints with C{protocol=}: factories that listen for names on shared carriers, and
connects that ask for them.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError

from tests.unit.carrying import MemoryPort, Network
from tests.unit.negotiating import CHAT, ECHO, Outcome, Recorders
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.errors import ConfigError
from twisted_mux.listening import MuxPort
from twisted_mux.reasons import ProtocolRefused, StreamRefused
from twisted_mux.sharing import Source


class Shared:
    """
    A place in a network, and endpoints there that share their carriers.
    """

    def __init__(self) -> None:
        self.network = Network()
        self._source: Source[Any] | None = None

    def share(self, make: Any) -> Source[Any]:
        if self._source is None:
            self._source = Source(make)
        return self._source

    def server(self, protocol: Any = None, negotiate: str = "simple") -> Any:
        return MuxServerEndpoint(
            self.network.clock,
            self.network,
            protocol=protocol,
            negotiate=negotiate,
            _sharing=self.share,
        )

    def client(self, protocol: Any = None, negotiate: str = "simple") -> Any:
        return MuxClientEndpoint(
            self.network.clock, self.network, protocol=protocol, negotiate=negotiate
        )

    def connect(self, protocol: Any, negotiate: str = "simple") -> Outcome:
        outcome = Outcome(self.client(protocol, negotiate).connect(Recorders()))
        self.network.accept()
        return outcome


@pytest.mark.parametrize("negotiate", ["simple", "multistream"])
def test_namesOnTheSameCarriers(negotiate: str) -> None:
    """
    Two factories with names of their own share a port; each gets the streams that
    ask for it, until it stops; the last one closes the port.
    """
    shared = Shared()
    echo, chat = Recorders(), Recorders()
    first = Outcome(shared.server(ECHO, negotiate).listen(echo)).result
    second = Outcome(shared.server([CHAT, b"/talk"], negotiate).listen(chat)).result
    assert shared.network.listening == 1
    assert echo.numPorts == chat.numPorts == 1
    assert shared.connect(ECHO, negotiate).result.transport.protocolName == ECHO
    assert shared.connect(b"/talk", negotiate).result
    assert (len(echo.built), len(chat.built)) == (1, 1)
    assert first.getHost() == second.getHost() is not None
    assert len(first.sessions) == 2
    assert second.carriersAccepted == 2

    first.startListening()
    Outcome(first.stopListening())
    Outcome(first.stopListening())
    assert echo.numPorts == 0
    assert chat.numPorts == 1
    with pytest.raises(CannotListenError):
        first.startListening()
    shared.connect(ECHO, negotiate).failed(ProtocolRefused)
    assert shared.connect(CHAT, negotiate).result
    Outcome(second.stopListening())
    assert chat.numPorts == 0
    assert shared.network.factory is None
    Outcome(shared.server(CHAT).listen(chat))
    assert shared.network.listening == 2


@pytest.mark.parametrize(
    ("protocol", "negotiate"), [(ECHO, "simple"), (CHAT, "multistream"), (None, "")]
)
def test_otherCarriers(protocol: Any, negotiate: str) -> None:
    """
    The same name again, another handshake, or none at all: other carriers are
    asked for, whether or not there can be any.
    """
    shared = Shared()
    Outcome(shared.server(ECHO).listen(Recorders()))
    other = shared.server(protocol, negotiate or "simple")
    shared.network.refuses = CannotListenError(None, 1, OSError("in use"))
    Outcome(other.listen(Recorders())).failed(CannotListenError)


def test_withOneThatTakesAll() -> None:
    """
    A factory without names has all streams, so nobody else can listen there.
    """
    shared = Shared()
    port = Outcome(shared.server().listen(Recorders())).result
    assert isinstance(port, MuxPort)
    Outcome(shared.server(ECHO).listen(Recorders()))
    assert shared.network.listening == 2


def test_cantListen() -> None:
    """
    If there is no port nobody listens, and another try may do better.
    """
    shared = Shared()
    factory = Recorders()
    shared.network.refuses = CannotListenError(None, 1, OSError("in use"))
    Outcome(shared.server(ECHO).listen(factory)).failed(CannotListenError)
    assert factory.numPorts == 0
    shared.network.refuses = None
    assert Outcome(shared.server(ECHO).listen(factory)).result
    assert factory.numPorts == 1


class SlowNetwork(Network):
    """
    A place where it takes time to listen.
    """

    def listen(self, factory: Any) -> Any:
        self.factory = factory
        self.deferred: Any = Deferred()
        return self.deferred


def test_cancelled() -> None:
    """
    Whoever does not wait for the port any more is not started; when nobody does,
    nobody listens.
    """
    shared = Shared()
    network = shared.network = SlowNetwork()
    echo, chat = Recorders(), Recorders()
    first = Outcome(shared.server(ECHO).listen(echo))
    second = Outcome(shared.server(CHAT).listen(chat))
    first.deferred.cancel()
    first.failed(CancelledError)
    assert not second.results
    network.deferred.callback(MemoryPort(network))
    assert second.result
    assert (echo.numPorts, chat.numPorts) == (0, 1)

    shared = Shared()
    network = shared.network = SlowNetwork()
    first = Outcome(shared.server(ECHO).listen(echo))
    first.deferred.cancel()
    first.failed(CancelledError)
    assert network.deferred.called
    assert echo.numPorts == 0


def test_dialAndListen() -> None:
    """
    The other way round: streams towards whoever has dialled in.
    """
    network = Network()
    chat = Recorders()
    dial = MuxDialEndpoint(network.clock, network, protocol=CHAT)
    towards = MuxListenEndpoint(network.clock, network, protocol=[ECHO, CHAT])
    Outcome(towards.startListening())
    assert Outcome(dial.listen(chat)).result
    network.accept()
    outcome = Outcome(towards.connect(Recorders()))
    network.clock.settle()
    assert outcome.result.transport.protocolName == CHAT
    assert len(chat.built) == 1


def test_clientEndpointOfAServer() -> None:
    """
    Names go through C{clientEndpoint}.
    """
    network = Network()
    server = MuxServerEndpoint(network.clock, network)
    towards = server.clientEndpoint(protocol=CHAT, negotiate="multistream")
    Outcome(towards.startListening())
    chat = Recorders()
    dial = MuxDialEndpoint(
        network.clock, network, protocol=CHAT, negotiate="multistream"
    )
    Outcome(dial.listen(chat))
    network.accept()
    outcome = Outcome(towards.connect(Recorders()))
    network.clock.settle()
    assert outcome.result.transport.protocolName == CHAT


def test_peerWithoutNames() -> None:
    """
    A peer that takes no streams refuses them.
    """
    network = Network()
    server = MuxListenEndpoint(network.clock, network)
    Outcome(server.startListening())
    client = MuxClientEndpoint(network.clock, network, protocol=ECHO)
    outcome = Outcome(client.connect(Recorders()))
    network.accept()
    outcome.failed(ProtocolRefused)
    assert not outcome.result.check(StreamRefused)


@pytest.mark.parametrize(
    "kind", [MuxServerEndpoint, MuxClientEndpoint, MuxDialEndpoint, MuxListenEndpoint]
)
def test_badNames(kind: Any) -> None:
    """
    Names are checked when the endpoint is made.
    """
    with pytest.raises(ConfigError, match="there is no handshake 'x'"):
        kind(None, None, protocol=b"/a", negotiate="x")
    with pytest.raises(ConfigError, match="is bytes"):
        kind(None, None, protocol="/a")
