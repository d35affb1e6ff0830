"""
AMP, which begins TLS in between, and Perspective Broker, on streams.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Factory
from twisted.protocols import amp
from twisted.spread import pb

from tests.integration.certificates import Certificates
from tests.integration.forwarder import onReactor, served
from twisted_mux.wire import wireNames

wires = pytest.mark.parametrize("wire", wireNames())


class Sum(amp.Command):
    """
    Adds two numbers, and says whether it was asked to under TLS.
    """

    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer()), (b"secret", amp.Boolean())]


class Calculator(amp.AMP):
    """
    Answers L{Sum} and C{StartTLS}.
    """

    certificates: Certificates

    def add(self, a: int, b: int) -> dict[str, object]:
        return {"total": a + b, "secret": self.hostCertificate is not None}

    Sum.responder(add)

    def beginTLS(self) -> dict[str, object]:
        return {
            "tls_localCertificate": self.certificates.server,
            "tls_verifyAuthorities": [self.certificates.authorityCertificate],
        }

    amp.StartTLS.responder(beginTLS)


@wires
@onReactor
async def test_amp(wire: str, certificates: Certificates) -> None:
    """
    A call in the clear, C{startTLS} with certificates on both sides, and many calls
    at once under TLS.
    """

    class Server(Calculator):
        pass

    Server.certificates = certificates
    async with served(wire, Factory.forProtocol(Server)) as there:
        client = await connectProtocol(there.endpoint, amp.AMP())
        assert await client.callRemote(Sum, a=1, b=2) == {"total": 3, "secret": False}
        await client.callRemote(
            amp.StartTLS,
            tls_localCertificate=certificates.client,
            tls_verifyAuthorities=[certificates.authorityCertificate],
        )
        answers = await gatherResults(
            [client.callRemote(Sum, a=number, b=1) for number in range(50)]
        )
        assert [answer["total"] for answer in answers] == list(range(1, 51))
        assert all(answer["secret"] for answer in answers)
        assert client.peerCertificate == certificates.server
        client.transport.loseConnection()


class Listener(pb.Referenceable):
    """
    Is called back.
    """

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def remote_hear(self, what: bytes) -> int:
        self.heard.append(what)
        return len(what)


class Root(pb.Root):
    """
    Calls back, and raises.
    """

    def remote_tell(self, listener: Any, what: bytes) -> Deferred[int]:
        answer: Deferred[int] = listener.callRemote("hear", what)
        return answer.addCallback(lambda length: length + 1)

    def remote_raise(self) -> None:
        raise pb.Error("as asked")


@wires
@onReactor
async def test_pb(wire: str) -> None:
    """
    Calls with references in both directions, and an exception that travels.
    """
    async with served(wire, pb.PBServerFactory(Root())) as there:
        factory = pb.PBClientFactory()
        broker: Any = await there.endpoint.connect(factory)
        root = await factory.getRootObject()
        listener = Listener()
        what = b"a" * 300_000
        assert await root.callRemote("tell", listener, what) == len(what) + 1
        assert listener.heard == [what]
        with pytest.raises(pb.RemoteError, match="as asked"):
            await root.callRemote("raise")
        broker.transport.loseConnection()
