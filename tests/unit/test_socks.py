"""
C{socks5:} behind bridges, in memory and in virtual time.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from tests.unit.carrying import Network, Peer, failureOf, logged
from tests.unit.proxying import (
    GREETING,
    OK,
    PUBLIC,
    Clock,
    End,
    Scene,
    wanting,
)
from twisted_mux.errors import ConfigError
from twisted_mux.socks.endpoint import SocksEndpoint, tcpEndpoint
from twisted_mux.socks.request import Credentials
from twisted_mux.socks.service import ServiceAddress
from twisted_mux.socks.targets import AllowList
from twisted_mux.testing import MemoryConnection
from twisted_mux.tunnel_strings import targetEndpoint


def test_connects() -> None:
    """
    A name is looked up once, its address is connected to, and then the two are joined:
    what the client has sent early included.
    """
    scene = Scene()
    scene.send(wanting("example.org") + b"early ")
    scene.send(b"bird")
    assert (scene.clock.asked, scene.dialled) == (["example.org"], [(PUBLIC, 80, 12.0)])
    assert scene.client.data == b"\5\0"
    scene.network.accept()
    scene.clock.settle()
    assert (scene.client.data, scene.target.data) == (OK, b"early bird")
    scene.send(b"!")
    scene.target.transport.write(b"answer")
    scene.clock.settle()
    assert (scene.client.data, scene.target.data) == (OK + b"answer", b"early bird!")
    scene.client.transport.loseWriteConnection()
    scene.clock.settle()
    assert scene.target.ended
    scene.target.transport.write(b" more")
    scene.target.transport.loseConnection()
    scene.clock.settle()
    assert scene.client.data == OK + b"answer more"
    scene.checkNothing()


def test_endsWhileConnecting() -> None:
    """
    A client that ends its direction behind its request waits for the answer all the
    same.
    """
    scene = Scene()
    scene.send(wanting("example.org") + b"all")
    scene.client.transport.loseWriteConnection()
    scene.clock.settle()
    scene.network.accept()
    scene.clock.settle()
    assert (scene.target.data, scene.target.ended) == (b"all", True)
    scene.target.transport.loseConnection()
    scene.checkNothing()
    assert scene.client.data == OK


def test_address() -> None:
    """
    An address needs no looking up.
    """
    scene = Scene()
    scene.send(wanting(PUBLIC))
    assert (scene.clock.asked, scene.dialled) == ([], [(PUBLIC, 80, 12.0)])


@pytest.mark.parametrize("reset", [False, True])
def test_targetIsLost(reset: bool) -> None:
    """
    The end of the target is the client's, in the same way.
    """
    scene = Scene()
    scene.send(wanting("example.org"))
    scene.network.accept()
    if reset:
        scene.target.transport.abortConnection()
    else:
        scene.target.transport.loseConnection()
    scene.checkNothing()
    assert scene.client.reason is not None
    assert scene.client.reason.check(ConnectionLost if reset else ConnectionDone)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 5),
        (NoRouteError("no route"), 3),
        (TCPTimedOutError("slow"), 6),
        (ConnectError(errno.EHOSTUNREACH, "no host"), 4),
        (ConnectError(errno.EACCES, "no"), 1),
    ],
)
def test_notConnected(error: Exception | None, code: int) -> None:
    """
    Why there is no connection is in the reply, and in one line of the log.
    """
    scene = Scene()
    scene.send(wanting("example.org"))
    with logged() as lines:
        scene.network.refuse(error)
    assert len(lines) == 1
    assert "from 192.0.2.1:49152 failed: socks5:: to example.org:80: " in lines[0]
    scene.checkOver(code)
    assert scene.bridge.statistics().failed == 1


def test_nextAddress() -> None:
    """
    Addresses are tried one after the other, but only those that are allowed; they
    share the time.
    """
    scene = Scene()
    scene.clock.names["example.org"] += [
        IPv4Address("TCP", "127.0.0.1", 80),
        IPv6Address("TCP", "fe80::1%eth0", 80),
        IPv4Address("TCP", PUBLIC, 80),
        IPv6Address("TCP", "2606:2800::1", 80),
        object(),
    ]
    scene.send(wanting("example.org"))
    scene.network.refuse()
    scene.network.accept()
    assert scene.dialled == [(PUBLIC, 80, 6.0), ("2606:2800::1", 80, 6.0)]
    scene.clock.settle()
    assert scene.client.data == OK


@pytest.mark.parametrize(
    ("allow", "host", "why"),
    [
        ("*", "127.0.0.1", "address 127.0.0.1 is not allowed"),
        ("*", "localhost", "address 127.0.0.1 is not allowed"),
        ("*", "::ffff:127.0.0.1", "address 127.0.0.1 is not allowed"),
        ("*.example.com", "example.org", "that is not allowed"),
    ],
)
def test_notAllowed(allow: str, host: str, why: str) -> None:
    """
    What is not allowed is not connected to, whatever it is called.
    """
    scene = Scene(allow)
    scene.clock.names["localhost"] = [IPv4Address("TCP", "127.0.0.1", 80)]
    with logged() as lines:
        scene.send(wanting(host))
    assert [line.endswith(why) for line in lines] == [True]
    scene.checkOver(2)
    assert scene.dialled == []
    assert scene.clock.asked == (["localhost"] if host == "localhost" else [])


def test_unknownName() -> None:
    """
    A name without addresses.
    """
    scene = Scene()
    scene.send(wanting("nowhere.example"))
    scene.checkOver(4)


def test_refusedBeforeRequest() -> None:
    """
    A client that makes no sense gets the reply that there is for that, and what it
    sends afterwards does no harm.
    """
    scene = Scene(credentials=Credentials(b"us", b"secret"))
    with logged() as lines:
        scene.send(b"\5\1\2\1\2us\5wrong" + b"more")
        scene.send(b"and more")
    assert [line.rpartition(": ")[2] for line in lines] == ["wrong user or password"]
    assert scene.client.data == b"\5\2\1\1"
    scene.checkNothing()


def test_slowRequest() -> None:
    """
    A request has ten seconds, however many pieces of it come.
    """
    scene = Scene()
    for _ in range(9):
        scene.send(b"\5" if not scene.clock.seconds() else b"")
        scene.clock.advance(1)
    scene.send(b"\1")
    with logged() as lines:
        scene.clock.advance(1)
    assert lines[0].endswith("no request within 10 seconds")
    scene.checkNothing()
    assert scene.client.data == b""


def test_endsWithoutRequest() -> None:
    """
    A client that ends before it has said what it wants.
    """
    scene = Scene()
    scene.send(GREETING)
    with logged() as lines:
        scene.client.transport.loseWriteConnection()
        scene.clock.settle()
    assert lines[0].endswith("it ended before it had said what it wants")
    scene.checkNothing()


@pytest.mark.parametrize("later", [False, True])
def test_slowConnection(later: bool) -> None:
    """
    The name and the connection have their time; what comes after that is too late.
    """
    scene = Scene()
    scene.clock.later = later
    scene.send(wanting("example.org"))
    scene.clock.advance(12)
    scene.checkOver(6)
    if later:
        scene.clock.answers[0]()
        assert scene.dialled == []
    else:
        (dial,) = scene.network.dials
        assert dial.cancelled


def test_clientLeavesWhileConnecting() -> None:
    """
    Nothing is connected for somebody who has left; if it is too late for that the
    connection is dropped.
    """
    scene = Scene()
    scene.send(wanting("example.org"))
    scene.bridge.abort()
    scene.checkNothing()
    (dial,) = scene.network.dials
    assert dial.cancelled
    late = MemoryConnection(scene.clock)
    late.connect(dial.factory.buildProtocol(late.SERVER), scene.target)
    scene.clock.settle()
    assert scene.target.reason is not None
    assert scene.target.reason.check(ConnectionLost)
    assert scene.bridge.live == 0


def test_backPressure() -> None:
    """
    While there is no target the client is paused; a target that does not read pauses
    it, and a client that does not read pauses the target.
    """
    scene = Scene()
    scene.send(wanting("example.org"))
    for _ in range(64):
        scene.send(bytes(65536))
    connection = scene.network.accept()
    scene.clock.settle()
    scene.target.transport.pauseProducing()
    for _ in range(64):
        scene.send(bytes(65536))
    held = len(scene.target.data)
    assert held < 128 * 65536
    scene.client.transport.pauseProducing()
    for _ in range(128):
        scene.target.transport.write(bytes(65536))
        scene.clock.settle()
    early = len(scene.client.data)
    scene.client.transport.resumeProducing()
    scene.target.transport.resumeProducing()
    scene.clock.settle()
    assert len(scene.target.data) == 128 * 65536
    assert len(scene.client.data) == len(OK) + 128 * 65536 > early
    assert connection.client is not None


# Without a bridge.


class Direct:
    """
    A protocol that is connected with the endpoint itself.
    """

    def __init__(self, protocol: Any = None) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.target = End()
        self.network.listen(Factory.forProtocol(lambda: self.target))
        endpoint = SocksEndpoint(
            self.clock, AllowList("*"), None, 12.0, lambda *_: self.network
        )
        self.protocol: Any = Peer() if protocol is None else protocol
        endpoint.connect(Factory.forProtocol(lambda: self.protocol))
        self.transport: Any = self.protocol.transport

    def join(self) -> None:
        """
        Connect it.
        """
        self.transport.writeSequence([GREETING, wanting(PUBLIC)[3:]])
        self.network.accept()
        self.clock.settle()


class Producer:
    """
    Counts what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """
        Count.
        """
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """
        Count.
        """
        self.told.append("resume")

    def stopProducing(self) -> None:
        """
        Count.
        """
        self.told.append("stop")


def test_direct() -> None:
    """
    Protocols that know nothing of half-closed connections get on as with TCP; and
    without a bridge the log has the lines nevertheless.
    """
    scene = Direct()
    assert scene.transport.getHost() == ServiceAddress()
    assert scene.transport.getPeer() == ServiceAddress()
    scene.join()
    assert scene.protocol.data == OK
    assert scene.transport.getPeer().port == 4242
    assert scene.transport.getHost().port == 49152
    scene.transport.loseWriteConnection()
    scene.clock.settle()
    assert scene.target.ended
    scene.target.transport.loseConnection()
    scene.clock.settle()
    assert scene.protocol.reason.check(ConnectionDone)
    scene = Direct()
    with logged() as lines:
        scene.transport.write(b"?")
    assert lines == ["socks5: it does not speak SOCKS (first byte 63)"]
    scene.transport.loseConnection()
    scene.clock.settle()
    assert scene.protocol.reason.check(ConnectionDone)


def test_producers() -> None:
    """
    A producer may come, and go, at any time; what is to be read may be paused at any.
    """
    scene = Direct()
    scene.transport.pauseProducing()
    scene.transport.write(wanting(PUBLIC))
    producer = Producer()
    scene.transport.registerProducer(producer, True)
    assert producer.told == ["pause"]
    scene.network.accept()
    scene.target.transport.write(b"answer")
    scene.clock.settle()
    assert producer.told == ["pause", "resume"]
    assert scene.protocol.data == OK
    scene.transport.resumeProducing()
    scene.clock.settle()
    assert scene.protocol.data == OK + b"answer"
    scene.transport.unregisterProducer()
    scene.transport.registerProducer(producer, True)
    scene.transport.unregisterProducer()
    scene.target.transport.loseConnection()
    scene.clock.settle()
    assert scene.protocol.reason is not None
    scene = Direct()
    scene.transport.pauseProducing()
    scene.transport.resumeProducing()
    scene.transport.stopProducing()
    scene.transport.registerProducer(producer, True)
    assert producer.told == ["pause", "resume", "stop"]
    scene.transport.abortConnection()
    scene.transport.loseWriteConnection()
    scene.clock.settle()
    assert scene.protocol.reason.check(ConnectionDone)


def test_unpaused() -> None:
    """
    Who writes on, though there is no target yet, and ends, loses nothing; who writes
    after the end does no harm.
    """
    scene = Direct()
    scene.transport.write(wanting(PUBLIC) + b"a")
    scene.transport.write(b"b")
    scene.transport.loseWriteConnection()
    scene.network.accept()
    scene.clock.settle()
    assert (scene.target.data, scene.target.ended) == (b"ab", True)
    scene.transport.abortConnection()
    scene.clock.settle()
    assert scene.protocol.reason.check(ConnectionAborted)
    scene = Direct()
    scene.transport.write(b"?")
    scene.transport.write(wanting(PUBLIC))
    scene.clock.settle()
    assert scene.network.dials == []


def test_leavesInTheMiddle() -> None:
    """
    A protocol may leave while it gets its answer.
    """

    class Leaving(Peer):
        def dataReceived(self, data: bytes) -> None:
            """
            No, thanks.
            """
            self.stream.abortConnection()

    scene = Direct(Leaving())
    scene.transport.write(wanting(PUBLIC))
    scene.clock.settle()
    assert scene.protocol.reason.check(ConnectionAborted)
    assert scene.network.dials == []


def test_tcp() -> None:
    """
    Addresses of both kinds are connected to by TCP.
    """
    reactor = MemoryReactorClock()
    for text in ("192.0.2.1", "2001:db8::1"):
        address = clientFromString(reactor, "socks5:allow=*")
        assert isinstance(address, SocksEndpoint)
        found = AllowList(f"[{text}]" if ":" in text else text)._entries[0].network
        assert found is not None
        tcpEndpoint(reactor, found[0], 80, 7.0).connect(Factory())
    assert [client[:2] + client[3:4] for client in reactor.tcpClients] == [
        ("192.0.2.1", 80, 7.0),
        ("2001:db8::1", 80, 7.0),
    ]


def test_nobodyWantsIt() -> None:
    """
    A factory that builds nothing.
    """
    factory = Factory()
    factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    endpoint = SocksEndpoint(Clock(), AllowList("*"))
    assert failureOf(endpoint.connect(factory)).check(ConnectError)


def test_strings() -> None:
    """
    All that a string can say.
    """
    text = (
        "socks5:allow=10.0.0.0/8,*.example.org\\:443:user=us:password=secret:timeout=7"
    )
    endpoint = clientFromString(MemoryReactorClock(), text)
    assert isinstance(endpoint, SocksEndpoint)
    assert endpoint.credentials == Credentials(b"us", b"secret")
    assert endpoint.timeout == 7
    assert endpoint.allow.mayResolve("www.example.org", 443)
    plain = clientFromString(MemoryReactorClock(), "socks5:")
    assert isinstance(plain, SocksEndpoint)
    assert plain.credentials is None
    assert plain.allow.mayResolve("www.example.org", 443)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("socks5:allow=*:443", "write a colon as"),
        ("socks5:allow=10.0.0.1/8", "allow= has an entry"),
        ("socks5:user=us", "go together"),
        ("socks5:password=secret", "go together"),
        ("socks5:user=:password=secret", "go together"),
        ("socks5:user=us:password=" + "x" * 256, "255 bytes"),
        ("socks5:timeout=soon", "timeout= must be"),
        ("socks5:timeout=0", "timeout= must be"),
        ("socks5:port=1080", "unknown option port"),
    ],
)
def test_badStrings(text: str, why: str) -> None:
    """
    What makes no sense is a clear error.
    """
    with pytest.raises(ConfigError, match=why):
        clientFromString(MemoryReactorClock(), text)


def test_passwordsAreNotShown() -> None:
    """
    Messages do not have them.
    """
    with pytest.raises(ConfigError, match="write a colon") as caught:
        targetEndpoint(MemoryReactorClock(), "socks5:x:user=us:password=secret", False)
    assert "secret" not in str(caught.value)
