"""
Unmodified C{twisted.web} on streams: with curl, and with its own client.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from tests.integration.certificates import HOST, Certificates
from tests.integration.forwarder import (
    LOOPBACK,
    onReactor,
    program,
    reactor,
    run,
    served,
)
from twisted_mux.wire import wireNames

BIG = bytes(range(256)) * 32 * 1024
AT_ONCE = 30

wires = pytest.mark.parametrize("wire", wireNames())


def _last(request: Request) -> bytes:
    return cast("list[bytes]", request.postpath)[-1]


class Hash(Resource):
    """
    Answers a body with its hash.
    """

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        digest = hashlib.sha256(request.content.read()).hexdigest()
        return f"{digest} {request.clientproto.decode()}".encode()


class Big(Resource):
    """
    As many bytes as the path says, up to eight megabytes.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return BIG[: int(_last(request))]


class Small(Resource):
    """
    A few bytes, and by whom they were asked for.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"small " + _last(request) + b" " + request.clientproto


class CountingSite(Site):
    """
    @ivar connections: how many there were.
    """

    connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.connections += 1
        return super().buildProtocol(addr)


def site() -> CountingSite:
    """
    All of the above.
    """
    root = Resource()
    for name, resource in (
        (b"hash", Hash()),
        (b"big", Big()),
        (b"small", Small()),
    ):
        root.putChild(name, resource)
    made = CountingSite(root)
    made.noisy = False
    return made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def curl(
    base: str, folder: Path, version: str, proto: str, size: int, *options: str
) -> None:
    """
    So many bytes each way, and a small answer, over one connection.
    """
    command = program("curl", "curl")
    big = BIG[:size]
    (folder / "up").write_bytes(big)
    common = ["--silent", "--show-error", "--fail", "--noproxy", "*", version, *options]
    count = ["--write-out", " %{num_connects}\n"]
    output = await run(
        command,
        *common,
        *count,
        *("--data-binary", f"@{folder / 'up'}", "--header", "Expect:", f"{base}/hash"),
        "--next",
        *common,
        *count,
        *("--output", str(folder / "down"), f"{base}/big/{size}"),
        "--next",
        *common,
        *count,
        f"{base}/small/7",
    )
    assert output.decode().splitlines() == [
        f"{sha256(big)} {proto} 1",
        " 0",
        f"small 7 {proto} 0",
    ]
    assert sha256((folder / "down").read_bytes()) == sha256(big)


@wires
@onReactor
async def test_curl(wire: str, tmp_path: Path) -> None:
    """
    HTTP/1.1: the connection is kept alive.
    """
    factory = site()
    async with served(wire, factory) as there:
        base = f"http://{LOOPBACK}:{there.port}"
        await curl(base, tmp_path, "--http1.1", "HTTP/1.1", len(BIG))
    assert factory.connections == there.forwarder.connections == 1


@wires
@onReactor
async def test_curlHTTP2(wire: str, tmp_path: Path, certificates: Certificates) -> None:
    """
    HTTP/2 over TLS, which the stream's two ends agree upon by ALPN.
    """
    factory = site()
    secure = TLSMemoryBIOFactory(certificates.serverContext(), False, factory)
    secure.noisy = False
    async with served(wire, secure) as there:
        base = f"https://{HOST}:{there.port}"
        await curl(
            base,
            tmp_path,
            "--http2",
            "HTTP/2",
            1024 * 1024,
            "--cacert",
            str(certificates.authority),
            "--resolve",
            f"{HOST}:{there.port}:{LOOPBACK}",
        )
    assert factory.connections == there.forwarder.connections == 1


@implementer(IAgentEndpointFactory)
class OnStreams:
    """
    Whatever the URI says, the connection is a stream.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        return self._endpoint


def pool() -> HTTPConnectionPool:
    made = HTTPConnectionPool(reactor)
    made.maxPersistentPerHost = AT_ONCE
    return made


# The client's transport for a response has none, over TCP neither.
@pytest.mark.filterwarnings("ignore:Using readBody with a transport:DeprecationWarning")
@wires
@onReactor
async def test_agent(wire: str) -> None:
    """
    Thirty requests at once, twice: the second time on the same streams.
    """
    factory = site()
    async with served(wire, factory) as there:
        connections = pool()
        agent = Agent.usingEndpointFactory(
            reactor, OnStreams(there.endpoint), connections
        )

        async def get(number: int) -> bytes:
            response = await agent.request(b"GET", b"http://it/small/%d" % number)
            assert response.code == 200
            return await readBody(response)

        for _ in range(2):
            bodies = await gatherResults(
                [Deferred.fromCoroutine(get(number)) for number in range(AT_ONCE)]
            )
            assert bodies == [b"small %d HTTP/1.1" % n for n in range(AT_ONCE)]
        await connections.closeCachedConnections()
    assert factory.connections == AT_ONCE


@wires
@onReactor
async def test_treq(wire: str) -> None:
    """
    The same with treq, and bodies for the server, larger than a window.
    """
    factory = site()
    body = BIG[: 512 * 1024]
    async with served(wire, factory) as there:
        connections = pool()
        client = HTTPClient(
            Agent.usingEndpointFactory(reactor, OnStreams(there.endpoint), connections)
        )

        async def post() -> str:
            response = await client.post("http://it/hash", data=body)
            return await treq.text_content(response)

        answers = await gatherResults(
            [Deferred.fromCoroutine(post()) for _ in range(AT_ONCE)]
        )
        assert answers == [f"{sha256(body)} HTTP/1.1"] * AT_ONCE
        await connections.closeCachedConnections()
    assert factory.connections == AT_ONCE
