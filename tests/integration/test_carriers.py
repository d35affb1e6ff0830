"""
The same echo and the same half-close on every kind of carrier, with streams that both
sides open at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import (
    ProcessEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from tests.integration.certificates import ADDRESS, Certificates
from tests.integration.exchanges import (
    ECHO,
    HALF_CLOSE,
    STREAMS,
    Answers,
    exchange,
)
from tests.integration.forwarder import LOOPBACK, Forwarder, onReactor, reactor
from twisted_mux.endpoint_strings import quote
from twisted_mux.endpoints import MuxClientEndpoint, MuxServerEndpoint
from twisted_mux.wire import wireNames

ROOT = Path(__file__).parents[2]
# Larger than a window, with what that means for several streams.
SIZE = 400_000
TCP = f"tcp:0:interface={LOOPBACK}"


@dataclass
class Ends:
    """
    Both ends of a carrier, or the one that is in this process.

    @ivar openers: endpoints that open streams, one for each end.
    @ivar answers: what answers streams, one for each end.
    @ivar sessions: gives the live sessions.
    @ivar accepted: gives the number of carriers so far.
    """

    openers: Sequence[Any]
    answers: Sequence[Answers]
    sessions: Callable[[], list[Any]]
    accepted: Callable[[], int]
    serverAnswers: Answers = field(default_factory=Answers)


@asynccontextmanager
async def joined(
    server: Any,
    serverOpener: Any,
    client: Callable[[Any], tuple[Any, Any]],
) -> AsyncIterator[Ends]:
    """
    The ends of a carrier between a listening endpoint and a dialling one.

    @param server: listens for streams on carriers that are accepted,
    @param serverOpener: opens them there.
    @param client: makes of the address that is listened on what opens streams on the
        carrier that is dialled, and what listens for them there.
    """
    ours, theirs = Answers(), Answers()
    port: Any = await server.listen(ours)
    opener, listener = client(port.getHost())
    dialled: Any = await listener.listen(theirs)
    try:
        yield Ends(
            openers=[opener, serverOpener],
            answers=[theirs, ours],
            sessions=lambda: [*port.sessions, *dialled.sessions],
            accepted=lambda: port.carriersAccepted,
            serverAnswers=ours,
        )
    finally:
        closed = [each.whenClosed() for each in (*port.sessions, *dialled.sessions)]
        await dialled.stopListening()
        await opener.closeCarriers()
        await serverOpener.closeCarriers()
        await port.stopListening()
        await gatherResults(closed)


def byStrings(
    serverString: str, clientString: Callable[[Any], str], wire: str
) -> AbstractAsyncContextManager[Ends]:
    """
    Both ends as strings; the same string means the same carriers.
    """
    ours = f"{serverString}:wire={wire}"

    def client(address: Any) -> tuple[Any, Any]:
        string = f"{clientString(address)}:wire={wire}"
        return (
            clientFromString(reactor, f"mux:{string}"),
            serverFromString(reactor, f"mux-dial:{string}"),
        )

    return joined(
        serverFromString(reactor, f"mux:{ours}"),
        clientFromString(reactor, f"mux-listen:{ours}"),
        client,
    )


def byClasses(
    endpoint: IStreamServerEndpoint, clientString: Callable[[Any], str], wire: str
) -> AbstractAsyncContextManager[Ends]:
    """
    The accepting end as classes, since its endpoint can't be said in a string.
    """
    server = MuxServerEndpoint(reactor, endpoint, wire=wire)

    def client(address: Any) -> tuple[Any, Any]:
        string = f"{clientString(address)}:wire={wire}"
        opener: Any = clientFromString(reactor, f"mux:{string}")
        return opener, opener.serverEndpoint()

    return joined(server, server.clientEndpoint(), client)


def dialTCP(address: Any) -> str:
    """
    The string that leads to a port.
    """
    return f"tcp:{LOOPBACK}:{address.port}"


def dialTLS(certificates: Certificates, port: int) -> str:
    """
    The string that leads to a port with TLS, with the client's certificate.
    """
    return (
        f"tls:{ADDRESS}:{port}:trustRoots={quote(str(certificates.folder))}"
        f":certificate={quote(str(certificates.clientCertificate))}"
        f":privateKey={quote(str(certificates.clientKey))}"
    )


@asynccontextmanager
async def tcp(wire: str, **_: Any) -> AsyncIterator[Ends]:
    """
    Plain TCP.
    """
    async with byStrings(TCP, dialTCP, wire) as ends:
        yield ends


@asynccontextmanager
async def tls(wire: str, certificates: Certificates, **_: Any) -> AsyncIterator[Ends]:
    """
    TLS with certificates on both sides.
    """
    endpoint = SSL4ServerEndpoint(
        reactor, 0, certificates.strictServerContext(), interface=LOOPBACK
    )
    async with byClasses(
        endpoint, lambda address: dialTLS(certificates, address.port), wire
    ) as ends:
        yield ends
        for session in ends.sessions():
            assert session.transport.getPeerCertificate() is not None


@asynccontextmanager
async def unix(wire: str, folder: Path, **_: Any) -> AsyncIterator[Ends]:
    """
    A Unix socket.
    """
    string = f"unix:{quote(str(folder / 'socket'))}"
    async with byStrings(string, lambda address: string, wire) as ends:
        yield ends


#: What the balancer says of whoever connected to it.
_SOURCE = IPv4Address("TCP", "203.0.113.7", 4711)


class Balancer(Forwarder):
    """
    Tells the server who has connected, as haproxy does with C{send-proxy}.
    """

    greeting = b"PROXY TCP4 %s 127.0.0.1 %d 443\r\n" % (
        _SOURCE.host.encode(),
        _SOURCE.port,
    )


@asynccontextmanager
async def balanced(
    join: Callable[[Callable[[Any], str]], AbstractAsyncContextManager[Ends]],
    string: Callable[[int], str],
) -> AsyncIterator[Ends]:
    """
    What C{join} makes, dialled through a L{Balancer}.

    @param string: the string that leads to a port.
    """
    # Where it leads is known when the server listens.
    balancer = Balancer(TCP4ClientEndpoint(reactor, LOOPBACK, 0))
    port: Any = await TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK).listen(
        balancer
    )

    def dial(address: Any) -> str:
        balancer.endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, address.port)
        return string(port.getHost().port)

    try:
        async with join(dial) as ends:
            yield ends
            assert ends.serverAnswers.peers == [_SOURCE] * STREAMS
    finally:
        await port.stopListening()


@implementer(IStreamServerEndpoint)
class TLSServer:
    """
    TLS on whatever another endpoint accepts.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, context: Any) -> None:
        self._endpoint = endpoint
        self._context = context

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        secure: Any = TLSMemoryBIOFactory(self._context, False, factory)
        secure.noisy = False
        return self._endpoint.listen(secure)


@asynccontextmanager
async def haproxy(wire: str, **_: Any) -> AsyncIterator[Ends]:
    """
    TCP behind a balancer that speaks the PROXY protocol.
    """
    async with balanced(
        lambda dial: byStrings(f"haproxy:{TCP}", dial, wire),
        lambda port: f"tcp:{LOOPBACK}:{port}",
    ) as ends:
        yield ends


@asynccontextmanager
async def haproxyTLS(
    wire: str, certificates: Certificates, **_: Any
) -> AsyncIterator[Ends]:
    """
    The same with TLS from end to end, behind the PROXY line.
    """
    endpoint = TLSServer(
        serverFromString(reactor, f"haproxy:{TCP}"),
        certificates.strictServerContext(),
    )
    async with balanced(
        lambda dial: byClasses(endpoint, dial, wire),
        lambda port: dialTLS(certificates, port),
    ) as ends:
        yield ends


@asynccontextmanager
async def mux(wire: str, **_: Any) -> AsyncIterator[Ends]:
    """
    A stream of another mux.
    """

    def inner(string: str) -> str:
        return "endpoint=" + quote(f"mux:{string}:wire={wire}")

    async with byStrings(
        inner(TCP), lambda address: inner(dialTCP(address)), wire
    ) as ends:
        yield ends


@asynccontextmanager
async def stdio(wire: str, mode: bytes, **_: Any) -> AsyncIterator[Ends]:
    """
    The standard input and output of a child, which does its half by itself.
    """
    command = [sys.executable, "-m", "tests.integration.carrier_child"]
    endpoint = MuxClientEndpoint(
        reactor,
        ProcessEndpoint(
            reactor,
            sys.executable,
            [*command, wire, mode.decode(), str(SIZE)],
            env=os.environ,
            path=str(ROOT),
        ),
        wire=wire,
    )
    answers = Answers()
    port: Any = await endpoint.serverEndpoint().listen(answers)
    try:
        yield Ends(
            openers=[endpoint],
            answers=[answers],
            sessions=lambda: list(port.sessions),
            accepted=lambda: port.carriersAccepted,
        )
    finally:
        # They fail if the child does not exit with 0.
        closed = [session.whenClosed() for session in port.sessions]
        await port.stopListening()
        await endpoint.closeCarriers()
        await gatherResults(closed)


CARRIERS = (tcp, tls, unix, haproxy, haproxyTLS, mux, stdio)


@pytest.mark.parametrize("wire", wireNames())
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("mode", [ECHO, HALF_CLOSE], ids=["echo", "halfClose"])
@onReactor
async def test_carrier(
    mode: bytes,
    carrier: Callable[..., AbstractAsyncContextManager[Ends]],
    wire: str,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """
    Several streams of each side at once, over one carrier; everything is compared by
    its hash, and every stream ends in order on both sides.
    """
    async with carrier(
        wire=wire, certificates=certificates, folder=tmp_path, mode=mode
    ) as ends:
        await gatherResults(
            [
                *(
                    Deferred.fromCoroutine(exchange(opener, mode, SIZE))
                    for opener in ends.openers
                ),
                *(answers.answered for answers in ends.answers),
            ]
        )
        assert ends.accepted() == 1


@pytest.mark.parametrize("wire", wireNames())
@onReactor
async def test_strangers(wire: str, certificates: Certificates) -> None:
    """
    A client without a certificate gets no stream where one is asked for.
    """
    answers = Answers()
    port: Any = await MuxServerEndpoint(
        reactor,
        SSL4ServerEndpoint(
            reactor, 0, certificates.strictServerContext(), interface=LOOPBACK
        ),
        wire=wire,
    ).listen(answers)
    string, _, _ = dialTLS(certificates, port.getHost().port).partition(":certificate")
    endpoint: Any = clientFromString(reactor, f"mux:{string}:wire={wire}:muxIdle=0")
    with pytest.raises(FirstError) as caught:
        await exchange(endpoint, ECHO, 1)
    # TLS 1.3 has the client connected before the server has said no.
    assert caught.value.subFailure.check(ConnectionLost, SSL.Error)
    await port.stopListening()
    assert answers.peers == []
