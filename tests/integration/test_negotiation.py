"""
Named streams on real sockets, by endpoint strings, with protocols that know nothing of
it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    serverFromString,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.amp import AMP, Command, Integer
from twisted.protocols.wire import Echo
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from tests.integration.certificates import Certificates
from tests.integration.forwarder import LOOPBACK, onReactor, reactor
from twisted_mux.negotiation import NamedProtocols
from twisted_mux.reasons import ProtocolRefused
from twisted_mux.wire import wireNames

ECHO = "/echo/1.0"
SUM = "/sum/1.0"
WEB = "/http/1.1"


class Sum(Command):
    """
    Adds.
    """

    arguments = [(b"a", Integer()), (b"b", Integer())]
    response = [(b"total", Integer())]


class Adder(AMP):
    """
    Has the sums done.
    """

    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        """
        Add.
        """
        return {"total": a + b}


class Page(Resource):
    """
    A page.
    """

    isLeaf = True

    def render_POST(self, request: Any) -> bytes:
        """
        What was posted.
        """
        return bytes(request.content.read())


class Collects(Protocol):
    """
    Sends, and collects the answer.
    """

    transport: Any

    def __init__(self, question: bytes) -> None:
        self.question = question
        self.answer = b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(self.question)

    def dataReceived(self, data: bytes) -> None:
        """
        Collect.
        """
        self.answer += data
        if len(self.answer) == len(self.question):
            self.done.callback(self.answer)
            self.transport.loseConnection()


@implementer(IAgentEndpointFactory)
class OneEndpoint:
    """
    An Agent's way to one place.
    """

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint

    def endpointForURI(self, uri: object) -> Any:
        """
        That place.
        """
        return self.endpoint


def quietFactory(protocol: type[Protocol]) -> Any:
    """
    A factory of these.
    """
    factory: Any = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory


@asynccontextmanager
async def listening(options: str, factory: Any) -> AsyncIterator[int]:
    """
    Listen on carriers; the port's number.
    """
    string = f"mux:tcp:0:interface={LOOPBACK}{options}"
    port = await serverFromString(reactor, string).listen(factory)
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()


def towards(port: int, options: str) -> Any:
    """
    The endpoint for streams there, on a carrier of its own.
    """
    string = f"mux:tcp:{LOOPBACK}:{port}{options}:muxIdle=0"
    return clientFromString(reactor, string)


@pytest.mark.parametrize("negotiate", ["simple", "multistream"])
@pytest.mark.parametrize("wire", wireNames())
@onReactor
async def test_byString(wire: str, negotiate: str) -> None:
    """
    On every wire: the name is agreed upon, data passes, and an unknown name fails.
    """
    how = f":wire={wire}:muxNegotiate={negotiate}"
    question = bytes(range(256)) * 1000
    async with listening(f"{how}:muxProtocol={ECHO}", quietFactory(Echo)) as port:
        names = f"/none,{ECHO}"
        asks = Collects(question)
        await connectProtocol(towards(port, f"{how}:muxProtocol={names}"), asks)
        assert await asks.done == question
        with pytest.raises(ProtocolRefused) as caught:
            await connectProtocol(
                towards(port, f"{how}:muxProtocol=/none"), Collects(b"")
            )
        assert caught.value.refused == (b"/none",)


@onReactor
async def test_severalProtocols() -> None:
    """
    Unmodified protocols side by side on one carrier, each found by its name.
    """
    site = Site(Page())
    site.noisy = False
    protocols = NamedProtocols(
        {
            ECHO.encode(): quietFactory(Echo),
            SUM.encode(): quietFactory(Adder),
            WEB.encode(): site,
        },
        "multistream",
    )
    async with listening("", protocols) as port:

        def named(name: str) -> Any:
            return towards(port, f":muxNegotiate=multistream:muxProtocol={name}")

        adder = await connectProtocol(named(SUM), AMP())
        agent = Agent.usingEndpointFactory(reactor, OneEndpoint(named(WEB)))
        asks = Collects(b"question")
        await connectProtocol(named(ECHO), asks)
        assert await adder.callRemote(Sum, a=19, b=23) == {"total": 42}
        response = await agent.request(b"GET", b"http://host.invalid/")
        assert response.code == 405
        response.deliverBody(Protocol())
        assert await asks.done == b"question"
        adder.transport.loseConnection()


class Secret(Collects):
    """
    The same, under TLS from the first byte.
    """

    def __init__(self, question: bytes, context: Any) -> None:
        super().__init__(question)
        self.context = context

    def connectionMade(self) -> None:
        """
        Begin with TLS.
        """
        self.transport.startTLS(self.context)
        super().connectionMade()


@pytest.mark.parametrize("negotiate", ["simple", "multistream"])
@onReactor
async def test_startTLS(negotiate: str, certificates: Certificates) -> None:
    """
    TLS begins in C{connectionMade}, so its first bytes may be there already.
    """
    context = certificates.serverContext()

    class SecretEcho(Echo):
        def connectionMade(self) -> None:
            transport: Any = self.transport
            transport.startTLS(context)

    how = f":muxProtocol={ECHO}:muxNegotiate={negotiate}"
    async with listening(how, quietFactory(SecretEcho)) as port:
        asks = [Secret(b"question" * n, certificates.clientContext()) for n in (1, 99)]
        for each in asks:
            await connectProtocol(towards(port, how), each)
        answers = await gatherResults([each.done for each in asks])
        assert answers == [each.question for each in asks]
