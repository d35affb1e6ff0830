"""
Unmodified protocols of Twisted's on streams between two sessions, over real TCP
sockets, on every wire.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols import amp, portforward
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from tests.integration.certificates import Certificates
from tests.integration.forwarder import onReactor
from twisted_mux import MuxFactory, MuxProtocol, wireNames

wires = pytest.mark.parametrize("wire", wireNames())

MIB = 1024 * 1024


class Sessions:
    """
    Two sessions with a TCP connection between them.

    @ivar client: the session of the side that dialled.
    @ivar server: that of the side that accepted.
    """

    client: MuxProtocol
    server: MuxProtocol


@asynccontextmanager
async def connected(wire: str, streamFactory: Any) -> AsyncIterator[Sessions]:
    """
    Two sessions; the server's has C{streamFactory} for the client's streams.
    """
    accepted: Deferred[MuxProtocol] = Deferred()
    serverFactory = MuxFactory(
        streamFactory, role="server", wire=wire, sessionStarted=accepted.callback
    )
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
        serverFactory
    )
    sessions = Sessions()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    sessions.client = cast(
        MuxProtocol, await endpoint.connect(MuxFactory(role="client", wire=wire))
    )
    sessions.server = await accepted
    await port.stopListening()
    try:
        yield sessions
        # Nothing hangs on.
        ends = [sessions.server.whenClosed(), sessions.client.close(5)]
        await gatherResults(ends)
    finally:
        sessions.client.abort()
    for session in (sessions.client, sessions.server):
        assert session.statistics().streams == 0
        assert session.statistics().bytesHeld == 0


class Chat(LineReceiver):
    """
    Says to everybody else what one says.
    """

    factory: Any

    def connectionMade(self) -> None:
        self.factory.members.append(self)

    def lineReceived(self, line: bytes) -> None:
        if line == b"bye":
            self.transport.loseConnection()  # type: ignore[union-attr]
            return
        for member in self.factory.members:
            if member is not self:
                member.sendLine(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.members.remove(self)


class Member(LineReceiver):
    """
    Waits for a number of lines.
    """

    def __init__(self, wanted: int) -> None:
        self.lines: list[bytes] = []
        self.wanted = wanted
        self.heard: Deferred[None] = Deferred()
        self.gone: Deferred[Any] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if len(self.lines) == self.wanted:
            self.heard.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


@wires
@onReactor
async def test_chat(wire: str) -> None:
    """
    Lines between many members, each with a stream.
    """
    factory = Factory.forProtocol(Chat)
    cast(Any, factory).members = []
    async with connected(wire, factory) as sessions:
        members = [
            cast(
                Member,
                await connectProtocol(sessions.client.clientEndpoint(), Member(19)),
            )
            for _ in range(20)
        ]
        # Everybody is known before the first one speaks.
        while len(cast(Any, factory).members) < 20:
            await _turn()
        for number, member in enumerate(members):
            member.sendLine(b"I am %d" % number)
        await gatherResults([member.heard for member in members])
        for number, member in enumerate(members):
            assert sorted(member.lines) == sorted(
                b"I am %d" % other for other in range(20) if other != number
            )
            member.sendLine(b"bye")
        reasons = await gatherResults([member.gone for member in members])
        assert {type(reason) for reason in reasons} == {ConnectionDone}


def _turn() -> Deferred[None]:
    turned: Deferred[None] = Deferred()
    cast(Any, reactor).callLater(0, turned.callback, None)
    return turned


class Multiply(amp.Command):
    """
    A product.
    """

    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"product", amp.Integer())]


class Calculator(amp.AMP):
    """
    Multiplies.
    """

    def multiply(self, a: int, b: int) -> dict[str, int]:
        return {"product": a * b}

    Multiply.responder(multiply)


@wires
@onReactor
async def test_amp(wire: str) -> None:
    """
    AMP, asked by either side on streams of either's.
    """
    async with connected(wire, Factory.forProtocol(Calculator)) as sessions:
        sessions.client.streamFactory = Factory.forProtocol(Calculator)
        for session in (sessions.client, sessions.server):
            clients = [
                await connectProtocol(session.clientEndpoint(), amp.AMP())
                for _ in range(3)
            ]
            answers = await gatherResults(
                [
                    each.callRemote(Multiply, a=number, b=number)
                    for number, each in enumerate(clients * 10)
                ]
            )
            assert [answer["product"] for answer in answers] == [
                number * number for number in range(30)
            ]
            for each in clients:
                each.transport.loseConnection()


class Upgrading(Protocol):
    """
    Starts TLS when its peer asks for that, then sends everything back.
    """

    transport: Any
    certificates: Certificates

    def dataReceived(self, data: bytes) -> None:
        if data == b"STARTTLS\n":
            self.transport.write(b"go ahead\n")
            self.transport.startTLS(self.certificates.serverContext())
        else:
            self.transport.write(data)


class Upgraded(Protocol):
    """
    Asks for TLS, then sends much.
    """

    transport: Any

    def __init__(self, certificates: Certificates, content: bytes) -> None:
        self._certificates = certificates
        self._content = content
        self._received = bytearray()
        self.done: Deferred[tuple[bytes, Any]] = Deferred()
        self.gone: Deferred[Any] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"STARTTLS\n")

    def dataReceived(self, data: bytes) -> None:
        if not self.transport.TLS:
            assert data == b"go ahead\n"
            self.transport.startTLS(self._certificates.clientContext())
            self.transport.write(self._content[:10])
            self.transport.writeSequence([self._content[10:]])
            return
        self._received += data
        if len(self._received) == len(self._content):
            self.done.callback(
                (bytes(self._received), self.transport.getPeerCertificate())
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


@wires
@onReactor
async def test_startTLS(wire: str, certificates: Certificates) -> None:
    """
    TLS that is started in the middle of a stream, on some streams and not on
    others.
    """
    Upgrading.certificates = certificates
    content = random.Random(wire).randbytes(2 * MIB)
    async with connected(wire, Factory.forProtocol(Upgrading)) as sessions:
        endpoint = sessions.client.clientEndpoint()
        clients = [
            cast(
                Upgraded,
                await connectProtocol(endpoint, Upgraded(certificates, content)),
            )
            for _ in range(3)
        ]
        for client in clients:
            received, certificate = await client.done
            assert received == content
            assert certificate is not None
            client.transport.loseConnection()
            assert isinstance(await client.gone, ConnectionDone)


class Mirror(Resource):
    """
    Gives back what is posted, and what is asked for.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return hashlib.sha256(request.path).hexdigest().encode() * 1000

    def render_POST(self, request: Any) -> bytes:
        return hashlib.sha256(request.content.read()).hexdigest().encode()


# Twisted's own client warns of its own transports, over TCP as well.
@pytest.mark.filterwarnings("ignore:Using readBody with a transport:DeprecationWarning")
@wires
@onReactor
async def test_web(wire: str) -> None:
    """
    A site and an agent with a pool: many requests at once, uploads among them.
    """
    from io import BytesIO

    async with connected(wire, Site(Mirror(), timeout=None)) as sessions:
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = 20

        class Endpoints:
            def endpointForURI(self, uri: object) -> Any:
                return sessions.client.clientEndpoint()

        agent = Agent.usingEndpointFactory(reactor, cast(Any, Endpoints()), pool)

        async def get(number: int) -> None:
            path = b"/%d" % number
            response = await agent.request(b"GET", b"http://mux.invalid" + path)
            assert response.code == 200
            body = await readBody(response)
            assert body == hashlib.sha256(path).hexdigest().encode() * 1000

        async def post(number: int) -> None:
            content = bytes([number]) * 700_001
            response = await agent.request(
                b"POST",
                b"http://mux.invalid/",
                bodyProducer=FileBodyProducer(BytesIO(content)),
            )
            body = await readBody(response)
            assert body == hashlib.sha256(content).hexdigest().encode()

        for _ in range(2):
            await gatherResults(
                [
                    Deferred.fromCoroutine(each)
                    for number in range(15)
                    for each in (get(number), post(number))
                ]
            )
        await pool.closeCachedConnections()


# Factories are generic since Twisted 26.4.
if TYPE_CHECKING:
    ProxyServerFactory = Factory[portforward.ProxyServer]
else:
    ProxyServerFactory = Factory


class StreamForwardFactory(ProxyServerFactory):
    """
    Forwards to an endpoint rather than to an address.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def buildProtocol(self, address: Any) -> Any:
        server = portforward.ProxyServer()
        server.factory = self  # type: ignore[assignment]
        endpoint = self._endpoint

        def connectionMade() -> None:
            server.transport.pauseProducing()
            client = portforward.ProxyClientFactory()
            client.protocol = portforward.ProxyClient
            client.setServer(server)
            endpoint.connect(client)

        server.connectionMade = connectionMade  # type: ignore[method-assign]
        return server


@implementer(IHalfCloseableProtocol)
class Hasher(Protocol):
    """
    Answers everything that came before the end with its hash.
    """

    transport: Any

    def connectionMade(self) -> None:
        self._hash = hashlib.sha256()

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)

    def readConnectionLost(self) -> None:
        self.transport.write(self._hash.digest())
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


class Echo(Protocol):
    """
    Sends everything back, reading no faster than is taken.
    """

    transport: Any

    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport.unregisterProducer()


class Collector(Protocol):
    """
    Waits for a number of bytes.
    """

    transport: Any

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._count = 0
        self._hash = hashlib.sha256()
        self.complete: Deferred[bytes] = Deferred()
        self.gone: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)
        self._count += len(data)
        if self._count == self._wanted:
            self.complete.callback(self._hash.digest())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


@wires
@onReactor
async def test_portforward(wire: str) -> None:
    """
    L{twisted.protocols.portforward} between a stream and a TCP connection, with
    much data both ways.
    """
    size = 3 * MIB
    content = random.Random(wire).randbytes(size)
    echo = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
        Factory.forProtocol(Echo)
    )
    target = TCP4ClientEndpoint(reactor, "127.0.0.1", cast(Any, echo).getHost().port)
    try:
        async with connected(wire, StreamForwardFactory(target)) as sessions:
            collector = Collector(size)
            await connectProtocol(sessions.client.clientEndpoint(), collector)
            collector.transport.write(content)
            assert await collector.complete == hashlib.sha256(content).digest()
            collector.transport.loseConnection()
            assert isinstance(await collector.gone, ConnectionDone)
    finally:
        await echo.stopListening()


@wires
@onReactor
async def test_transfers(wire: str) -> None:
    """
    Large transfers on many streams of both sides' at once, each ended by halves
    and checked by its hash.
    """
    from io import BytesIO

    async with connected(wire, Factory.forProtocol(Hasher)) as sessions:
        sessions.client.streamFactory = Factory.forProtocol(Hasher)

        async def transfer(session: MuxProtocol, number: int) -> None:
            content = random.Random(number).randbytes(MIB + number)
            collector = _Digest()
            await connectProtocol(session.clientEndpoint(), collector)
            sender = FileSender()
            if number % 2:
                sender.CHUNK_SIZE = 1000
            await sender.beginFileTransfer(BytesIO(content), collector.transport)
            collector.transport.loseWriteConnection()
            reason = await collector.gone
            assert isinstance(reason, ConnectionDone)
            assert bytes(collector.received) == hashlib.sha256(content).digest()

        await gatherResults(
            [
                Deferred.fromCoroutine(transfer(session, number))
                for session in (sessions.client, sessions.server)
                for number in range(8)
            ]
        )


@implementer(IHalfCloseableProtocol)
class _Digest(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.gone: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reason.value)


@wires
@onReactor
async def test_killedCarrier(wire: str) -> None:
    """
    When a carrier is dropped in the middle every stream hears of it, on both
    sides.
    """
    lost: list[Any] = []

    class Server(Protocol):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            lost.append(reason.value)

    async with connected(wire, Factory.forProtocol(Server)) as sessions:
        collectors = [Collector(1) for _ in range(10)]
        for collector in collectors:
            await connectProtocol(sessions.client.clientEndpoint(), collector)
            collector.transport.write(bytes(100_000))
        while sessions.server.statistics().streams < 10:
            await _turn()
        end = sessions.server.whenClosed()
        sessions.client.abort()
        reasons = await gatherResults([each.gone for each in collectors])
        with pytest.raises(ConnectionLost):
            await end
        assert all(isinstance(reason, ConnectionLost) for reason in reasons)
        assert len(lost) == 10
        assert all(isinstance(reason, ConnectionLost) for reason in lost)
        # There is nothing to close any more.
        sessions.server = sessions.client
