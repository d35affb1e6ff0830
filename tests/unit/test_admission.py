"""
How many sessions whoever listens may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.protocols.haproxy import proxyEndpoint

from tests.unit.carrying import Network, Peer, Peers, logged, resultOf
from twisted_mux.admission import (
    TELL_EVERY,
    Admission,
    RefusedCarrier,
    Visitor,
    admissionFor,
    peerOf,
)
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import MuxListenEndpoint, MuxServerEndpoint
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.testing import MemoryConnection, VirtualClock
from twisted_mux.wire import wireNames


def four(host: str, port: int = 1) -> IPv4Address:
    """
    An address.
    """
    return IPv4Address("TCP", host, port)


def six(host: str) -> IPv6Address:
    """
    Another one.
    """
    return IPv6Address("TCP", host, 1)


class Door:
    """
    An admission, and a clock.
    """

    def __init__(self, **config: Any) -> None:
        self.now = 1000.0
        self.admission = Admission(MuxConfig(**config), lambda: self.now)

    def enter(self, address: IAddress | None = None) -> Visitor:
        """
        Somebody who is admitted.
        """
        visitor = self.admission.enter(address)
        assert visitor is not None
        return visitor


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (four("192.0.2.1", 1), four("192.0.2.1", 2), True),
        (four("192.0.2.1"), four("192.0.2.2"), False),
        (six("2001:db8::1"), six("2001:db8::ffff:0:0:1"), True),
        (six("2001:db8::1"), six("2001:db8:0:1::1"), False),
        (six("fe80::1%eth0"), six("fe80::2%eth0"), False),
        (six("::ffff:192.0.2.1"), four("192.0.2.1"), True),
        (four("somebody"), four("somebody"), True),
        (four("somebody"), four("else"), False),
    ],
)
def test_peers(one: IAddress, other: IAddress, same: bool) -> None:
    """
    Who is the same peer.
    """
    assert peerOf(one) is not None
    assert (peerOf(one) == peerOf(other)) is same


@pytest.mark.parametrize("address", [None, UNIXAddress("/run/x"), UNIXAddress(None)])
def test_peersWithoutAddress(address: IAddress | None) -> None:
    """
    Peers that can't be told apart are not counted one by one.
    """
    assert peerOf(address) is None
    door = Door(maxSessionsPerPeer=1)
    visitors = [door.enter(address) for _ in range(5)]
    assert door.admission.sessions == 5
    for visitor in visitors:
        visitor.leave()
    assert door.admission.sessions == 0


def test_altogether() -> None:
    """
    As many as there may be, and one more when one has left; however often it says
    so.
    """
    door = Door(maxSessions=2)
    first = door.enter(four("192.0.2.1"))
    door.enter(four("192.0.2.2"))
    with logged() as lines:
        assert door.admission.enter(four("192.0.2.3", 77)) is None
    assert lines == [
        "carrier from 192.0.2.3:77 refused: 2 sessions are open (limit maxSessions: 2)"
    ]
    first.leave()
    first.leave()
    assert door.admission.sessions == 1
    door.enter()
    assert door.admission.enter(None) is None
    assert door.admission.refused == 2


def test_perPeer() -> None:
    """
    The same for each address; nothing is left of those that have gone.
    """
    door = Door(maxSessionsPerPeer=2)
    visitors = [door.enter(four(f"192.0.2.{n // 2}", n)) for n in range(20)]
    with logged() as lines:
        assert door.admission.enter(four("192.0.2.3", 99)) is None
    (line,) = lines
    assert line.startswith("carrier from 192.0.2.3:99 refused: 2 sessions from 192.0")
    assert line.endswith("from 192.0.2.3 are open (limit maxSessionsPerPeer: 2)")
    for visitor in visitors:
        visitor.leave()
    assert door.admission.sessions == 0
    assert not door.admission._peers


def test_theLog() -> None:
    """
    A flood leaves one line a minute, with a number.
    """
    door = Door(maxSessions=1, maxSessionsPerPeer=1)
    door.enter(four("192.0.2.1"))
    with logged() as lines:
        for _ in range(100):
            assert door.admission.enter(four("192.0.2.9", 7)) is None
        door.now += TELL_EVERY
        for _ in range(3):
            assert door.admission.enter(four("192.0.2.9", 8)) is None
    text = "sessions are open (limit maxSessions: 1)"
    assert lines == [
        f"carrier from 192.0.2.9:7 refused: 1 {text}",
        f"carrier from 192.0.2.9:8 refused: 1 {text}; 99 others were refused before",
    ]


def test_moved() -> None:
    """
    A visitor turns out to be somebody else, who may have too many.
    """
    door = Door(maxSessionsPerPeer=1)
    first = door.enter(four("192.0.2.1"))
    assert first.moved(four("192.0.2.1", 5))
    assert first.moved(four("192.0.2.2"))
    second = door.enter(four("192.0.2.1"))
    with logged() as lines:
        assert not second.moved(four("192.0.2.2"))
    assert len(lines) == 1
    for visitor in (first, second):
        visitor.leave()
        assert visitor.moved(four("192.0.2.3"))
    assert door.admission.sessions == 0
    assert not door.admission._peers


def test_offByDefault() -> None:
    """
    Without limits nothing is counted.
    """
    assert admissionFor(MuxConfig(), lambda: 0.0) is None
    assert admissionFor(MuxConfig(maxSessions=1), lambda: 0.0) is not None
    assert admissionFor(MuxConfig(maxSessionsPerPeer=1), lambda: 0.0) is not None


class Listener:
    """
    Something that listens, and clients that dial.
    """

    def __init__(self, factory: Any, clock: VirtualClock) -> None:
        self.factory = factory
        self.clock = clock

    def dial(self, host: str = "192.0.2.1", wire: str = "yamux") -> Any:
        """
        A client dials, and opens a stream.

        @return: the stream's protocol; its C{reason} tells that it is gone.
        """
        connection = MemoryConnection(self.clock)
        session = MuxFactory(role="client", wire=wire).buildProtocol(None)
        server = self.factory.buildProtocol(four(host))
        # A MemoryConnection has an address of its own.
        vars(connection.server)["getPeer"] = lambda: four(host)
        connection.connect(session, server)
        peer = Peer()
        session.openStream(Factory.forProtocol(lambda: peer)).addErrback(lambda _: None)
        self.clock.settle()
        peer.connection = connection  # type: ignore[attr-defined]
        return peer


def ofFactory(clock: VirtualClock, config: MuxConfig, wire: str) -> Any:
    """
    A plain factory.
    """
    return MuxFactory(Peers(), role="server", wire=wire, config=config, reactor=clock)


def ofServer(clock: VirtualClock, config: MuxConfig, wire: str) -> Any:
    """
    C{mux:} as a server.
    """
    network = Network(clock)
    resultOf(
        MuxServerEndpoint(clock, network, wire=wire, config=config).listen(Peers())
    )
    return network.factory


def ofListen(clock: VirtualClock, config: MuxConfig, wire: str) -> Any:
    """
    C{mux-listen:}.
    """
    network = Network(clock)
    resultOf(
        MuxListenEndpoint(clock, network, wire=wire, config=config).startListening()
    )
    return network.factory


def ofAuto(clock: VirtualClock, config: MuxConfig, wire: str) -> Any:
    """
    C{mux:} as a server, for all wires.
    """
    return ofServer(clock, config, "auto")


Makes = Callable[[VirtualClock, MuxConfig, str], Any]


@pytest.mark.parametrize("wire", wireNames())
@pytest.mark.parametrize("make", [ofFactory, ofServer, ofListen, ofAuto])
@pytest.mark.parametrize("limit", ["maxSessions", "maxSessionsPerPeer"])
def test_listeners(make: Makes, limit: str, wire: str) -> None:
    """
    All that listen refuse a carrier too many, with a line in the log; the others go
    on, and one that goes makes room.
    """
    clock = VirtualClock()
    change: dict[str, Any] = {limit: 2}
    config = MuxConfig(keepAlive=0, keepAliveTimeout=0, **change)
    listener = Listener(make(clock, config, wire), clock)
    honest = [listener.dial(wire=wire) for _ in range(2)]
    assert [each.reason for each in honest] == [None, None] or make is ofListen
    with logged() as lines:
        refused = listener.dial(wire=wire)
    assert refused.connection.client.disconnected
    (line,) = lines
    assert line.startswith("carrier from 192.0.2.1:1 refused: 2 sessions ")
    assert line.endswith(f"are open (limit {limit}: 2)")
    assert not any(each.connection.client.disconnected for each in honest)
    elsewhere = listener.dial("192.0.2.2", wire)
    assert bool(elsewhere.connection.client.disconnected) is (limit == "maxSessions")
    honest[0].connection.cut()
    elsewhere.connection.cut()
    clock.settle()
    again = listener.dial(wire=wire)
    assert not again.connection.client.disconnected


def test_refusedSession() -> None:
    """
    A session that is refused was never said to have started, and is over.
    """
    clock = VirtualClock()
    started: list[MuxProtocol] = []
    factory = MuxFactory(
        Peers(),
        role="server",
        config=MuxConfig(maxSessions=1),
        sessionStarted=started.append,
        reactor=clock,
    )
    Listener(factory, clock).dial()
    refused = factory.buildProtocol(four("192.0.2.1"))
    MemoryConnection(clock).connect(Peer(), refused)
    clock.settle()
    assert len(started) == 1
    assert refused.over
    assert resultOf(refused.whenClosed()) is None


def test_unknownWire() -> None:
    """
    Clients whose wire is not known yet count, until they are gone.
    """
    clock = VirtualClock()
    factory = ofAuto(clock, MuxConfig(maxSessions=2, detectTimeout=3), "")
    clients = []
    for _ in range(3):
        connection = MemoryConnection(clock)
        clients.append(Peer())
        connection.connect(clients[-1], factory.buildProtocol(four("192.0.2.1")))
    clock.settle()
    assert [bool(client.reason) for client in clients] == [False, False, True]
    clock.advance(4)
    assert all(client.reason for client in clients)
    assert not Listener(factory, clock).dial().connection.client.disconnected


@pytest.mark.parametrize("wire", ["yamux", "auto"])
def test_haproxy(wire: str) -> None:
    """
    Behind HAProxy a carrier counts for the address that its header tells.
    """
    clock = VirtualClock()
    network = Network(clock)
    server = MuxServerEndpoint(
        clock,
        proxyEndpoint(network),
        wire=wire,
        config=MuxConfig(maxSessionsPerPeer=1),
    )
    resultOf(server.listen(Peers()))
    ping = bytes.fromhex("00 02 0001 00000000 00000007")

    def dial(host: str) -> Peer:
        client = Peer()
        connection = MemoryConnection(clock)
        connection.connect(client, network.factory.buildProtocol(four("127.0.0.1")))
        header = f"PROXY TCP4 {host} 192.0.2.254 7 8\r\n".encode()
        client.stream.write(header + ping)
        clock.settle()
        return client

    clients = [dial("192.0.2.1"), dial("192.0.2.2")]
    with logged() as lines:
        clients.append(dial("192.0.2.1"))
    assert [bool(client.reason) for client in clients] == [False, False, True]
    (line,) = lines
    assert line.startswith("carrier from 192.0.2.1:7 refused: 1 sessions from 192.0")
    clients[0].stream.abortConnection()
    clock.settle()
    assert dial("192.0.2.1").reason is None


def test_ofTwistedsReactor() -> None:
    """
    Without a reactor the time is that of Twisted's.
    """
    factory = MuxFactory(Peers(), role="server", config=MuxConfig(maxSessions=1))
    factory.buildProtocol(four("192.0.2.1"))
    with logged() as lines:
        factory.buildProtocol(four("192.0.2.1"))
    assert len(lines) == 1


def test_transportWithoutAbort() -> None:
    """
    Transports that can't abort are closed.
    """
    closed = []

    class Transport:
        def loseConnection(self) -> None:
            closed.append(True)

    RefusedCarrier().makeConnection(Transport())
    assert closed == [True]
