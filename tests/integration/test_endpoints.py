"""
Endpoint strings on real sockets: every kind of carrier, both directions, and
carriers that go and come back.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import endpoints
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    ProcessEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.certificates import Certificates
from tests.integration.forwarder import LOOPBACK, onReactor, reactor
from tests.unit.carrying import logged
from twisted_mux.config import MuxConfig
from twisted_mux.demo.run import BodyHasher, agentOver
from twisted_mux.endpoint_strings import quote
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.listening import MuxPort
from twisted_mux.wire import wireNames

ROOT = Path(__file__).parents[2]
BODY = os.urandom(300_000)


class Echo(Protocol):
    """
    Answers with what it gets.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Answer.
        """
        assert self.transport is not None
        self.transport.write(data)


class Asks(Protocol):
    """
    Sends something and waits for as much.
    """

    transport: Any

    def __init__(self, size: int = 5) -> None:
        self.question = os.urandom(size)
        self.answer = b""
        self.done: Deferred[Any] = Deferred()
        self.lost: Deferred[BaseException] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(self.question)

    def dataReceived(self, data: bytes) -> None:
        """
        Compare.
        """
        self.answer += data
        if len(self.answer) >= len(self.question):
            assert self.answer == self.question
            self.done.callback(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell.
        """
        assert reason.value is not None
        self.lost.callback(reason.value)


async def ask(endpoint: Any, size: int = 5) -> Asks:
    """
    Connect, and get an answer.
    """
    asks: Asks = await connectProtocol(endpoint, Asks(size))
    await asks.done
    return asks


async def until(condition: Any) -> None:
    """
    Wait until something is so.
    """
    while not condition():
        await deferLater(reactor, 0.01)


class Page(Resource):
    """
    Something to fetch.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        The page.
        """
        request.setHeader(b"x-peer", str(request.getClientAddress()).encode())
        return BODY


async def fetch(endpoint: Any, times: int = 1) -> list[Any]:
    """
    Fetch the page with an unmodified Agent.
    """
    agent = agentOver(reactor, endpoint)
    responses = await gatherResults(
        [agent.request(b"GET", b"http://host/") for _ in range(times)]
    )
    bodies = [BodyHasher() for _ in responses]
    for response, body in zip(responses, bodies, strict=True):
        response.deliverBody(body)
    for body in bodies:
        assert await body.done == sha256(BODY).hexdigest()
    return list(responses)


@asynccontextmanager
async def listening(server: Any, factory: Any = None) -> AsyncIterator[MuxPort]:
    """
    A server endpoint that is listened on, and whose carriers are closed in the end.
    """
    if isinstance(server, str):
        server = serverFromString(reactor, server)
    port: MuxPort = await server.listen(factory or Factory.forProtocol(Echo))
    try:
        yield port
    finally:
        closed = [session.whenClosed() for session in port.sessions]
        await port.stopListening()
        for session in port.sessions:
            session.abort()
        for each in closed:
            await each


def portOf(port: Any) -> int:
    """
    The number of a port.
    """
    number: int = port.getHost().port
    return number


# Every kind of carrier.


@onReactor
async def test_webOverOneCarrier() -> None:
    """
    An unmodified Site and an unmodified Agent, on every wire.
    """
    for wire in wireNames():
        text = f"mux:tcp:0:interface={LOOPBACK}:wire={wire}"
        async with listening(text, Site(Page())) as port:
            client: Any = clientFromString(
                reactor, f"mux:tcp:{LOOPBACK}:{portOf(port)}:wire={wire}"
            )
            await fetch(client, 20)
            assert port.carriersAccepted == 1
            await client.closeCarriers()


@onReactor
async def test_anyWire() -> None:
    """
    One listener for clients of every wire.
    """
    text = f"mux:tcp:0:interface={LOOPBACK}:wire=auto"
    async with listening(text, Site(Page())) as port:
        clients: list[Any] = [
            clientFromString(reactor, f"mux:tcp:{LOOPBACK}:{portOf(port)}:wire={wire}")
            for wire in wireNames()
        ]
        for client in clients:
            await fetch(client, 3)
        assert port.carriersAccepted == len(clients)
        for client in clients:
            await client.closeCarriers()


@onReactor
async def test_anyWireButHTTP() -> None:
    """
    A web browser at the wrong port: one line in the log.
    """
    text = f"mux:tcp:0:interface={LOOPBACK}:wire=auto"
    async with listening(text) as port:
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, portOf(port))
        with logged() as messages:
            asks = Asks()
            asks.question = b"GET / HTTP/1.1\r\n\r\n"
            await connectProtocol(endpoint, asks)
            await asks.lost
        assert len(messages) == 1
        assert "refused: no wire protocol: the peer seems to speak HTTP" in messages[0]


@onReactor
async def test_unix(tmp_path: Path) -> None:
    path = quote(str(tmp_path / "socket"))
    async with listening(f"mux:unix:{path}", Site(Page())):
        client: Any = clientFromString(reactor, f"mux:unix:{path}")
        await fetch(client, 3)
        assert len(client.sessions) == 1
        await client.closeCarriers()


def secured(certificates: Certificates, tmp_path: Path) -> dict[str, tuple[str, str]]:
    """
    The strings of a server and a client with TLS, by name.
    """
    key, certificate, authorities = (
        quote(str(path))
        for path in (
            certificates.serverKey,
            certificates.serverCertificate,
            certificates.folder,
        )
    )
    folder = tmp_path / "server"
    folder.mkdir()
    pem = certificates.serverKey.read_bytes()
    pem += certificates.serverCertificate.read_bytes()
    (folder / "server.pem").write_bytes(pem)
    return {
        "ssl": (
            f"ssl:0:interface={LOOPBACK}:privateKey={key}:certKey={certificate}",
            f"ssl:{LOOPBACK}:{{port}}:hostname=localhost:caCertsDir={authorities}",
        ),
        "tls": (
            f"tls:{quote(str(folder))}:0:interface={quote('::ffff:127.0.0.1')}",
            f"tls:localhost:{{port}}:trustRoots={authorities}",
        ),
    }


# Twisted looks at certificates by pyOpenSSL's means.
@pytest.mark.filterwarnings("ignore:X509:DeprecationWarning")
@pytest.mark.parametrize("kind", ["ssl", "tls"])
@onReactor
async def test_tls(kind: str, certificates: Certificates, tmp_path: Path) -> None:
    if kind == "tls" and not hasattr(endpoints, "wrapServerTLS"):
        pytest.skip("Twisted has no tls: for servers before 26.4")
    server, client = secured(certificates, tmp_path)[kind]
    async with listening(f"mux:{server}", Site(Page())) as port:
        text = "mux:" + client.format(port=portOf(port))
        endpoint: Any = clientFromString(reactor, text)
        await fetch(endpoint, 5)
        assert port.carriersAccepted == 1
        await endpoint.closeCarriers()


@onReactor
async def test_tlsWithTheWrongCertificate(
    certificates: Certificates, tmp_path: Path
) -> None:
    """
    A connect fails with the reason, and no stream is ever opened; the listener
    says so in one line.
    """
    server, client = secured(certificates, tmp_path)["ssl"]
    async with listening(f"mux:{server}", Site(Page())) as port:
        text = "mux:" + client.format(port=portOf(port)).replace(
            "localhost", "example.org"
        )
        endpoint: Any = clientFromString(reactor, text)
        with logged("info") as messages:
            with pytest.raises(Exception, match=r"VerificationError|certificate"):
                await ask(endpoint)
            await until(lambda: messages)
        assert not endpoint.sessions
        assert port.carriersAccepted == 0
        assert len(messages) == 1
        assert messages[0].startswith("carrier from 127.0.0.1:")


@onReactor
async def test_tlsNobodyKnows(certificates: Certificates) -> None:
    """
    Streams towards peers go to none whose certificate has not been seen, even if
    it is the newest.
    """
    carrier = SSL4ServerEndpoint(
        reactor, 0, certificates.strictServerContext(), interface=LOOPBACK
    )
    client = MuxListenEndpoint(reactor, carrier)
    port = portOf(await client.startListening())
    plain = TCP4ClientEndpoint(reactor, LOOPBACK, port)
    stranger = await connectProtocol(plain, Protocol())
    waiting = ask(client)
    known = MuxDialEndpoint(
        reactor, wrapClientTLS(certificates.clientContext(True), plain)
    )
    async with listening(known):
        asks = await waiting
        newer = await connectProtocol(plain, Asks())
        again = await ask(client)
        assert again.transport.session is asks.transport.session
        for transport in (stranger.transport, newer.transport):
            transport.abortConnection()
        await client.closeCarriers()
        asks.transport.loseConnection()
        again.transport.loseConnection()
        await again.lost


@onReactor
async def test_tlsLostInTheHandshake(certificates: Certificates) -> None:
    """
    A dial is cancelled though TCP is connected.
    """
    accepted: Deferred[Any] = Deferred()

    class Silent(Protocol):
        def connectionMade(self) -> None:
            accepted.callback(self)

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            lost.callback(None)

    lost: Deferred[None] = Deferred()
    listener = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    port: Any = await listener.listen(Factory.forProtocol(Silent))
    plain = TCP4ClientEndpoint(reactor, LOOPBACK, portOf(port))
    client = MuxClientEndpoint(
        reactor, wrapClientTLS(certificates.clientContext(), plain)
    )
    connecting = client.connect(Factory.forProtocol(Echo))
    await accepted
    assert not connecting.called
    connecting.cancel()
    with pytest.raises(ConnectingCancelledError):
        await connecting
    await lost
    await port.stopListening()


class SendsHeader(ProtocolWrapper):
    """
    Says on whose behalf it connects, as HAProxy does.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        The header comes first.
        """
        transport.write(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n")
        super().makeConnection(transport)


class ThroughProxy:
    """
    An endpoint that returns its wrapper, as some do.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        Connect with a header.
        """
        wrapping = WrappingFactory(factory)
        wrapping.protocol = SendsHeader
        connected: Deferred[Any] = self._endpoint.connect(wrapping)
        return connected


@onReactor
async def test_haproxy() -> None:
    """
    C{haproxy:} may be the carrier; its client's address is every stream's.
    """
    async with listening(
        f"mux:haproxy:tcp:0:interface={LOOPBACK}", Site(Page())
    ) as port:
        plain = TCP4ClientEndpoint(reactor, LOOPBACK, portOf(port))
        client = MuxClientEndpoint(reactor, ThroughProxy(plain))  # type: ignore[arg-type]
        responses = await fetch(client, 3)
        for response in responses:
            peer = response.headers.getRawHeaders(b"x-peer")
            assert b"'192.0.2.7'" in peer[0]
        await client.closeCarriers()


@pytest.mark.parametrize("flat", [True, False])
@onReactor
async def test_muxWithinMux(flat: bool) -> None:
    """
    A carrier may be a stream.
    """
    server, client = f"mux:tcp:0:interface={LOOPBACK}", f"mux:tcp:{LOOPBACK}:{{port}}"
    if flat:
        outerServer, outerClient = f"mux:{server}", f"mux:{client}"
    else:
        outerServer = f"mux:endpoint={quote(server)}:wire=smux2"
        outerClient = f"mux:endpoint={quote(client)}:wire=smux2"
    async with listening(outerServer, Site(Page())) as port:
        endpoint: Any = clientFromString(reactor, outerClient.format(port=portOf(port)))
        await fetch(endpoint, 5)
        assert [session.wire for session in port.sessions] == [
            "yamux" if flat else "smux2"
        ]
        await endpoint.closeCarriers()


STDIO = """
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

def listens(port):
    [session] = port.sessions
    session.whenClosed().addBoth(lambda _: reactor.stop())

endpoint = serverFromString(reactor, "mux:stdio:")
endpoint.listen(Factory.forProtocol(Echo)).addCallback(listens)
reactor.run()
"""


@onReactor
async def test_stdio() -> None:
    """
    The standard input and output of a process, as behind ssh.
    """
    carrier = ProcessEndpoint(
        reactor,
        sys.executable,
        [sys.executable, "-W", "error", "-c", STDIO],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    client = MuxClientEndpoint(reactor, carrier)
    asks = await ask(client, 100_000)
    other = await ask(client)
    assert asks.transport.session is other.transport.session
    closed = asks.transport.session.whenClosed()
    asks.transport.session.abort()
    await closed


# Carriers that go and come back.


@onReactor
async def test_serverRestarts() -> None:
    """
    While the server is gone connects fail; then they dial anew.
    """
    async with listening(f"mux:tcp:0:interface={LOOPBACK}") as port:
        number = portOf(port)
        client: Any = clientFromString(reactor, f"mux:tcp:{LOOPBACK}:{number}")
        asks = await ask(client)
    reason = await asks.lost
    assert "lost" in str(reason)
    with pytest.raises(Refused):
        await ask(client)
    async with listening(f"mux:tcp:{number}:interface={LOOPBACK}") as port:
        await ask(client)
        await ask(client)
        assert port.carriersAccepted == 1
        await _forget(client)


async def _forget(client: Any) -> None:
    """
    Drop a client's carriers.
    """
    closed = [session.whenClosed() for session in client.sessions]
    for session in client.sessions:
        session.abort()
    for each in closed:
        await each


@onReactor
async def test_drained() -> None:
    """
    A server that drains: what is open goes on, what is new goes elsewhere.
    """
    config = MuxConfig(goAway="first")
    carrier = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    async with listening(MuxServerEndpoint(reactor, carrier, config=config)) as port:
        client = MuxClientEndpoint(
            reactor, TCP4ClientEndpoint(reactor, LOOPBACK, portOf(port))
        )
        old = await ask(client)
        port.sessions[0].close(0)
        await until(lambda: not client.sessions[0].takesStreams)
        new = await ask(client)
        assert new.transport.session is not old.transport.session
        old.answer = b""
        old.done = Deferred()
        old.transport.write(old.question)
        await old.done
        closed = old.transport.session.whenClosed()
        old.transport.loseConnection()
        await closed
        assert client.sessions == (new.transport.session,)
        await _forget(client)


@onReactor
async def test_bothDirectionsByString() -> None:
    """
    One carrier, dialled by one process's strings and accepted by another's, takes
    streams in both directions.
    """
    text = f"tcp:0:interface={LOOPBACK}"
    async with listening(f"mux:{text}") as port:
        towardsPeers: Any = clientFromString(reactor, f"mux-listen:{text}")
        number = portOf(port)
        async with listening(f"mux-dial:tcp:{LOOPBACK}:{number}") as dialled:
            client: Any = clientFromString(reactor, f"mux:tcp:{LOOPBACK}:{number}")
            there, back = await ask(client, 100_000), await ask(towardsPeers, 100_000)
            assert port.carriersAccepted == dialled.carriersAccepted == 1
            assert there.transport.session in dialled.sessions
            assert back.transport.session in port.sessions
            await towardsPeers.closeCarriers()


@onReactor
async def test_dialledAgain() -> None:
    """
    A carrier that is kept up comes back; the newest peer is the one that streams
    go to.
    """
    client = MuxListenEndpoint(
        reactor, TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    )
    number = portOf(await client.startListening())
    dial = MuxDialEndpoint(
        reactor,
        TCP4ClientEndpoint(reactor, LOOPBACK, number),
        retryPolicy=lambda attempt: 0.01,
    )
    async with listening(dial) as port:
        for times in range(1, 4):
            asks = await ask(client)
            assert port.carriersAccepted == times
            asks.transport.session.abort()
            await asks.lost
        await client.closeCarriers()


# Unmodified programs.


class Twist(ProcessProtocol):
    """
    A C{twist} command.

    @ivar log: what it printed.
    """

    transport: Any

    def __init__(self, *arguments: str) -> None:
        self.log = ""
        self.ended: Deferred[int | None] = Deferred()
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-m", "twisted", *arguments],
            {**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Keep what it prints.
        """
        self.log += data.decode()

    def processEnded(self, reason: Any) -> None:
        """
        It is over.
        """
        self.ended.callback(reason.value.exitCode)

    async def says(self, pattern: str) -> str:
        """
        Wait until it has printed something.
        """
        await until(lambda: re.search(pattern, self.log) or self.ended.called)
        found = re.search(pattern, self.log)
        assert found, self.log
        return found[1]

    async def stop(self) -> None:
        """
        End it as an operator would.
        """
        self.transport.signalProcess("TERM")
        await self.ended


@onReactor
async def test_twistWeb(tmp_path: Path) -> None:
    """
    C{twist web} listens on a mux.
    """
    (tmp_path / "index.html").write_bytes(BODY)
    twist = Twist(
        "web", "--listen", f"mux:tcp:0:interface={LOOPBACK}", "--path", str(tmp_path)
    )
    number = await twist.says(r"mux \(yamux\) starting on (\d+)")
    client: Any = clientFromString(reactor, f"mux:tcp:{LOOPBACK}:{number}")
    await fetch(client, 10)
    await _forget(client)
    await twist.stop()
    assert "Traceback" not in twist.log


@onReactor
async def test_twistWebDials(tmp_path: Path) -> None:
    """
    C{twist web} dials, and is reached through what it has dialled.
    """
    (tmp_path / "index.html").write_bytes(BODY)
    client = MuxListenEndpoint(
        reactor, TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    )
    number = portOf(await client.startListening())
    twist = Twist(
        "web", "--listen", f"mux-dial:tcp:{LOOPBACK}:{number}", "--path", str(tmp_path)
    )
    await fetch(client, 10)
    await client.closeCarriers()
    await twist.stop()
    assert "Traceback" not in twist.log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mux:tcp:0:wire=quic", "unknown wire 'quic'"),
        ("mux:tcp:0:muxColour=red", "unknown option muxColour"),
    ],
)
@onReactor
async def test_twistWebWithWrongStrings(text: str, message: str) -> None:
    twist = Twist("web", "--listen", text, "--path", ".")
    assert await twist.ended
    assert message in twist.log
