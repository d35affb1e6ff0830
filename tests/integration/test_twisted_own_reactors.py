"""
Twisted's own tests of TCP and TLS connections, from its folder internet/test,
with the connections routed through streams over real TCP carriers, on reactors
that they build themselves.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar, cast
from unittest import SkipTest

import pytest
from OpenSSL.SSL import Connection
from twisted.internet import endpoints
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import ClientContextFactory
from twisted.internet.test import connectionmixins, reactormixins, test_tcp, test_tls
from zope.interface import implementer

from tests.integration.routing import Routes
from tests.integration.skips import (
    SKIPS_ON_ASYNCIO,
    SKIPS_WITHOUT_RESET,
    withSkips,
)
from twisted_mux.wire import codecNamed, wireNames

# Twisted's tests use context factories of the old kind; and a reactor that is
# stopped in the middle, as theirs are, does not close a socket that it neither reads
# from nor writes to at that moment.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.* does not explicitly provide any OpenSSL connection-creator"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """
    What reactors have left unclosed is found here, not in somebody else's tests;
    nor do these inherit the loop that Twisted's builder of reactors on asyncio
    asks for, to put it back after each test.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True, scope="module")
def signals() -> Iterator[None]:
    """
    Reactors that end take the process's signal handlers with them, and the descriptor
    by which the reactor of the other tests hears of the end of a child.
    """
    kept = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
    handlers = [(each, signal.getsignal(each)) for each in kept]
    descriptor = signal.set_wakeup_fd(-1)
    yield
    for each, handler in handlers:
        signal.signal(each, handler)
    signal.siginterrupt(signal.SIGCHLD, False)
    signal.set_wakeup_fd(descriptor)


_EPOLL = "twisted.internet.epollreactor.EPollReactor"
_OTHERS = [
    "twisted.internet.selectreactor.SelectReactor",
    "twisted.internet.pollreactor.PollReactor",
    "twisted.internet.test.reactormixins.AsyncioSelectorReactor",
]


def _stops(call: Any) -> bool:
    name: str = getattr(call.func, "__qualname__", "")
    return name.startswith("AsyncioSelectorReactor.stop.")


class Routed(reactormixins.ReactorBuilder):
    """
    Builds reactors whose TCP connections are streams.
    """

    wire: ClassVar[str]

    # Seconds; a test that hangs would hang for two minutes.
    timeout = 20

    def setUp(self) -> None:
        """
        Twisted's tests write to a protocol when its peer is done, since some
        platform may not tell it otherwise.  With streams that may be before it
        is connected, as with a TCP connection that waits to be accepted.
        """
        super().setUp()

        def write(protocol: Any) -> None:
            if protocol.transport is not None:
                protocol.transport.write(b"GOODBYE")

        cast(Any, self).patch(
            connectionmixins.ConnectableProtocol,
            "writeToDetectPeerDisconnection",
            write,
        )

    def buildReactor(self) -> Any:
        """
        A reactor that does not count the call with which one on asyncio stops
        itself: whether that is still to come when tests look depends on who is
        faster.
        """
        reactor: Any = super().buildReactor()
        self.routes = Routes(reactor, self.wire)
        self.routes.install()
        calls = reactor.getDelayedCalls
        if "Asyncio" in type(reactor).__name__:
            reactor.getDelayedCalls = lambda: [
                call for call in calls() if not _stops(call)
            ]
        return reactor


class WrappedTLS(test_tls.SSLCreator):
    """
    Endpoints with TLS over streams, from Twisted's wrappers.
    """

    def server(self, reactor: Any) -> Any:
        """
        See L{test_tls.SSLCreator}.
        """
        endpoint = test_tcp.TCPCreator().server(reactor)
        if not hasattr(endpoints, "wrapServerTLS"):
            raise SkipTest("Twisted has no such wrapper before 26.4")
        return endpoints.wrapServerTLS(self.getServerContext(), endpoint)

    def client(self, reactor: Any, serverAddress: Any) -> Any:
        """
        See L{test_tls.SSLCreator}.
        """
        endpoint = test_tcp.TCPCreator().client(reactor, serverAddress)
        return wrapClientTLS(_AnyCertificate(), endpoint)


@implementer(IOpenSSLClientConnectionCreator)
class _AnyCertificate(ClientContextFactory):
    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:
        return Connection(self.getContext(), None)


class StartTLSOnBoth(test_tls.StartTLSClientCreator):
    """
    Endpoints whose both sides start TLS as soon as there is a connection.
    """

    def server(self, reactor: Any) -> Any:
        """
        See L{test_tls.StartTLSClientCreator}.
        """
        return _StartTLSServerEndpoint(
            test_tcp.TCPCreator().server(reactor), self.getServerContext()
        )


class _StartTLSServerEndpoint:
    def __init__(self, wrapped: Any, options: Any) -> None:
        self._wrapped = wrapped
        self._options = options

    def listen(self, factory: Any) -> Any:
        build = factory.buildProtocol

        def buildProtocol(address: Any) -> Any:
            protocol = build(address)
            made = protocol.connectionMade

            def connectionMade() -> None:
                protocol.transport.startTLS(self._options)
                made()

            protocol.connectionMade = connectionMade
            return protocol

        factory.buildProtocol = buildProtocol
        return self._wrapped.listen(factory)


class WrappedTLSConnections(
    test_tls.TLSMixin,
    reactormixins.ReactorBuilder,
    connectionmixins.ConnectionTestsMixin,
):
    """
    Tests of connections, for Twisted's wrappers.
    """

    endpoints: Any = WrappedTLS()


class StartTLSConnections(WrappedTLSConnections):
    """
    The same for C{startTLS} on both sides.
    """

    endpoints: Any = StartTLSOnBoth()


class WrappedTLSAborts(reactormixins.ReactorBuilder, test_tcp.AbortConnectionMixin):
    """
    Tests of aborting, for Twisted's wrappers.
    """

    endpoints: Any = WrappedTLS()


class StartTLSAborts(WrappedTLSAborts):
    """
    The same for C{startTLS} on both sides.
    """

    endpoints: Any = StartTLSOnBoth()


# The tests that are run on every wire, on one reactor; and on all others, with one
# wire.
_EVERYWHERE: tuple[type[Any], ...] = (
    test_tcp.AbortConnectionTests,
    test_tcp.TCP4ClientTestsBuilder,
    test_tcp.TCPConnectionTestsBuilder,
    test_tcp.TCPTransportTestsBuilder,
    test_tls.AbortSSLConnectionTests,
    test_tls.SSLClientTestsMixin,
    test_tls.StartTLSClientTestsMixin,
    WrappedTLSConnections,
    WrappedTLSAborts,
    StartTLSConnections,
    StartTLSAborts,
)
# Those that say nothing of streams, but whether they can stand in for TCP.
_ONCE: tuple[type[Any], ...] = (
    test_tcp.TCP4ConnectorTestsBuilder,
    test_tcp.TCPPortTestsBuilder,
    test_tls.TLSPortTestsBuilder,
)


def _cases(original: type[Any], wire: str, reactors: list[str]) -> None:
    name = f"{wire.capitalize()}{original.__name__}"
    builder: Any = type(
        name,
        (Routed, original),
        {"wire": wire, "_reactors": reactors, "__module__": __name__},
    )
    lists = []
    if not codecNamed(wire).capabilities.reset:
        lists.append(SKIPS_WITHOUT_RESET)
    for case in builder.makeTestCaseClasses().values():
        more = [SKIPS_ON_ASYNCIO] if "Asyncio" in case.__name__ else []
        globals()[case.__name__] = withSkips(case, *lists, *more)


for each in wireNames():
    for tests in _EVERYWHERE:
        _cases(tests, each, [_EPOLL])
for tests in _EVERYWHERE:
    _cases(tests, "yamux", _OTHERS)
for tests in _ONCE:
    _cases(tests, "yamux", [_EPOLL])
