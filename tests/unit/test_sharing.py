"""
Same string, same reactor: same carriers.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.testing import MemoryReactorClock

from tests.unit.carrying import Network, Peers, resultOf
from twisted_mux import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.dialling import DialledCarriers
from twisted_mux.sharing import Source, sharedSource


def carriers(endpoint: Any) -> Any:
    """
    What an endpoint uses.
    """
    return endpoint._source.current()


def test_classes() -> None:
    """
    Each prefix has its class.
    """
    reactor = MemoryReactorClock()
    for parse, text, kind in (
        (serverFromString, "mux:tcp:7000", MuxServerEndpoint),
        (clientFromString, "mux:tcp:host:7000", MuxClientEndpoint),
        (serverFromString, "mux-dial:tcp:host:7000", MuxDialEndpoint),
        (clientFromString, "mux-listen:tcp:7000", MuxListenEndpoint),
    ):
        assert type(parse(reactor, text)) is kind


def test_bothDirections() -> None:
    """
    Those who dial the same share, and those who listen on the same.
    """
    reactor = MemoryReactorClock()
    dialling = [
        clientFromString(reactor, "mux:tcp:host:7000"),
        clientFromString(reactor, "mux:tcp:host:7000"),
        serverFromString(reactor, "mux-dial:tcp:host:7000"),
    ]
    assert len({carriers(endpoint) for endpoint in dialling}) == 1
    listening = [
        serverFromString(reactor, "mux:tcp:7000"),
        clientFromString(reactor, "mux-listen:tcp:7000:muxWait=1"),
    ]
    assert len({carriers(endpoint) for endpoint in listening}) == 1


def test_aStringsPartsMayStandInAnyOrder() -> None:
    reactor = MemoryReactorClock()
    one = clientFromString(reactor, "mux:tcp:h:1:timeout=5:bindAddress=127.0.0.1")
    other = clientFromString(
        reactor, "mux:muxIdle=60:tcp:h:1:bindAddress=127.0.0.1:timeout=5"
    )
    assert carriers(one) is carriers(other)


@pytest.mark.parametrize(
    "other",
    [
        "mux:tcp:host:7001",
        "mux:tcp:host:7000:wire=smux2",
        "mux:tcp:host:7000:muxWindow=300000",
        "mux:tcp:host:7000:muxCarriers=2",
        "mux:tcp:host:7000:muxIdle=2",
        "mux:tcp:host:7000:muxRole=server",
    ],
)
def test_otherStrings(other: str) -> None:
    reactor = MemoryReactorClock()
    one = clientFromString(reactor, "mux:tcp:host:7000")
    assert carriers(one) is not carriers(clientFromString(reactor, other))


def test_otherReactor() -> None:
    one = clientFromString(MemoryReactorClock(), "mux:tcp:host:7000")
    other = clientFromString(MemoryReactorClock(), "mux:tcp:host:7000")
    assert carriers(one) is not carriers(other)


def test_classesShareNothing() -> None:
    """
    Endpoints made from classes have their own carriers, unless one was made from
    the other.
    """
    network = Network()
    client = MuxClientEndpoint(network.clock, network)
    other = MuxClientEndpoint(network.clock, network)
    assert carriers(client) is not carriers(other)
    assert carriers(client.serverEndpoint()) is carriers(client)
    server = MuxServerEndpoint(network.clock, network)
    assert carriers(server.clientEndpoint()) is carriers(server)


def test_oneDialByManyStrings() -> None:
    reactor = MemoryReactorClock()
    for _ in range(3):
        clientFromString(reactor, "mux:tcp:127.0.0.1:7000").connect(Peers())
    assert len(reactor.tcpClients) == 1


def test_secondListenerIsTheNewest() -> None:
    """
    Who connects later uses the carriers of who began to listen last.
    """
    reactor = MemoryReactorClock()
    endpoint = serverFromString(reactor, "mux:tcp:0")
    first = resultOf(endpoint.listen(Peers()))
    second = resultOf(serverFromString(reactor, "mux:tcp:0").listen(Peers()))
    assert len(reactor.tcpServers) == 2
    assert first._carriers is not second._carriers
    client = clientFromString(reactor, "mux-listen:tcp:0")
    assert carriers(client) is second._carriers


def test_nothingIsKeptAlive() -> None:
    """
    When a reactor's endpoints are gone, so are their carriers; and so is the
    reactor.
    """
    reactor = MemoryReactorClock()
    endpoint = clientFromString(reactor, "mux:tcp:host:7000")
    watched = [ref(reactor), ref(carriers(endpoint))]
    del endpoint
    gc.collect()
    assert watched[0]() is reactor
    assert watched[1]() is None
    del reactor
    gc.collect()
    assert watched[0]() is None


def test_usedCarriersStay() -> None:
    """
    Carriers outlive the endpoints that made them, as long as they are up.
    """
    network = Network()

    def source() -> Source[DialledCarriers]:
        return sharedSource(network.clock, "key", lambda: made)

    made: Any = carriers(MuxClientEndpoint(network.clock, network))
    assert source().current() is made
    deferred = made.connect(Peers())
    resultOf(MuxServerEndpoint(network.clock, network).listen(Peers()))
    network.accept()
    resultOf(deferred)
    watched = ref(made)
    made = None
    gc.collect()
    kept = watched()
    assert kept is not None
    assert source().current() is kept


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (clientFromString, "mux:tcp:host:x", "carrier 'tcp:host:x': "),
        (clientFromString, "mux:tcp:host:1:colour=red", "carrier 'tcp:host:1:col"),
        (clientFromString, "mux:nonsense:1", "carrier 'nonsense:1': Unknown endpoint"),
        (clientFromString, "mux:tcp", "carrier 'tcp': "),
        (serverFromString, "mux:tcp", "carrier 'tcp': "),
        (serverFromString, "mux:tcp:1:muxColour=red", "unknown option muxColour"),
        (serverFromString, "mux-dial:tcp:h:1:muxName=x", "muxName means nothing for"),
        (clientFromString, "mux-listen:tcp:1:muxIdle=1", "muxIdle means nothing for"),
    ],
)
def test_wrongStrings(parse: Any, text: str, message: str) -> None:
    """
    One line, which says what is wrong.
    """
    with pytest.raises(ValueError, match=message) as caught:
        parse(MemoryReactorClock(), text)
    assert "\n" not in str(caught.value)
