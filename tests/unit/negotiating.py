"""
What the tests of named streams have in common: two sessions, one of which has
protocols with names, and protocols that write down what happens to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.config import MuxConfig
from twisted_mux.negotiation import NamedProtocols
from twisted_mux.negotiation.multistream import (
    line,
)
from twisted_mux.testing import SessionPair
from twisted_mux.wire import codecNamed, wireNames

WIRES = sorted(wireNames())
MESSAGE_WIRES = [each for each in WIRES if codecNamed(each).capabilities.messages]
PREFIX_WIRES = [each for each in WIRES if each not in MESSAGE_WIRES]
# One wire of each kind is enough for what does not depend on it.
KINDS = ["yamux", "mplex"]
HANDSHAKES = ["simple", "multistream"]
HEADER = line(b"/multistream/1.0.0")
ECHO = b"/echo/1.0"
CHAT = b"/chat/1.0"


class Recorder(Protocol):
    """
    A protocol that writes down what happens to it.
    """

    greeting = b""
    whenMade: Callable[[], object] = bool

    def __init__(self) -> None:
        self.events: list[Any] = []

    @property
    def data(self) -> bytes:
        return b"".join(each for each in self.events if isinstance(each, bytes))

    @property
    def stream(self) -> Any:
        return self.transport

    def connectionMade(self) -> None:
        self.events.append("made")
        self.stream.write(self.greeting)
        self.whenMade()

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append(reason.type)
        self.reason = reason


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """
    One that knows of half-close.
    """

    def readConnectionLost(self) -> None:
        self.events.append("read lost")

    def writeConnectionLost(self) -> None:
        self.events.append("write lost")


class Recorders(Factory):
    """
    A factory that keeps what it has built.
    """

    noisy = False
    whenMade: Callable[[Recorder], object] | None = None

    def __init__(self, kind: type[Recorder] = Recorder, greeting: bytes = b"") -> None:
        self.kind = kind
        self.greeting = greeting
        self.built: list[Any] = []

    def buildProtocol(self, addr: object) -> Any:
        protocol = self.kind()
        protocol.greeting = self.greeting
        if self.whenMade is not None:
            protocol.whenMade = self.whenMade.__get__(protocol)
        self.built.append(protocol)
        return protocol


class NoneFactory(Recorders):
    """
    A factory that builds nothing.
    """

    def buildProtocol(self, addr: object) -> Any:
        return None


class BrokenFactory(Recorders):
    """
    A factory that can't.
    """

    def buildProtocol(self, addr: object) -> Any:
        raise ZeroDivisionError("no protocol today")


class Outcome:
    """
    What has become of a Deferred.
    """

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.results: list[Any] = []
        deferred.addBoth(self.results.append)

    @property
    def result(self) -> Any:
        assert len(self.results) == 1, self.results
        return self.results[0]

    def failed(self, kind: type[BaseException]) -> Any:
        assert isinstance(self.result, Failure), self.result
        assert self.result.check(kind), self.result
        return self.result.value


class Named:
    """
    A pair of sessions; the accepting side has protocols with names.
    """

    def __init__(
        self,
        wire: str = "yamux",
        negotiate: str = "simple",
        *,
        byServer: bool = False,
        config: MuxConfig | None = None,
        echo: Recorders | None = None,
    ) -> None:
        self.negotiate = negotiate
        self.echo = Recorders() if echo is None else echo
        self.chat = Recorders()
        self.protocols = NamedProtocols({ECHO: self.echo, CHAT: self.chat}, negotiate)
        self.pair = SessionPair(
            wire,
            clientConfig=config,
            clientStreams=self.protocols if byServer else None,
            serverStreams=None if byServer else self.protocols,
        )
        self.opener = self.pair.server if byServer else self.pair.client
        self.acceptor = self.pair.other(self.opener)
        self.factory = Recorders()

    def connect(self, *names: bytes, factory: Recorders | None = None) -> Outcome:
        endpoint = self.opener.clientEndpoint(protocol=names, negotiate=self.negotiate)
        return Outcome(endpoint.connect(factory or self.factory))

    def raw(self, *writes: bytes) -> Any:
        """
        Open a stream without a handshake, and write on it.
        """
        factory = Recorders()
        self.opener.openStream(factory)
        self.pair.pump()
        (protocol,) = factory.built
        for data in writes:
            protocol.transport.write(data)
            self.pair.pump()
        return protocol


class RawAcceptor:
    """
    A pair of sessions; the accepting side does by hand what it is told.
    """

    def __init__(
        self,
        wire: str = "yamux",
        negotiate: str = "simple",
        config: MuxConfig | None = None,
    ) -> None:
        self.negotiate = negotiate
        self.streams = Recorders()
        self.pair = SessionPair(wire, clientConfig=config, serverStreams=self.streams)
        self.factory = Recorders()

    def connect(self, *names: bytes, factory: Recorders | None = None) -> Outcome:
        endpoint = self.pair.client.clientEndpoint(
            protocol=names, negotiate=self.negotiate
        )
        outcome = Outcome(endpoint.connect(factory or self.factory))
        self.pair.pump()
        return outcome

    @property
    def stream(self) -> Any:
        return self.streams.built[-1]


def nothingLeft(pair: SessionPair) -> None:
    """
    No stream and no delayed call of a handshake.
    """
    pair.pump()
    for session in (pair.client, pair.server):
        assert not session.engine.streams
    assert not [
        call for call in pair.clock.calls if "negotiation" in str(call.func.__module__)
    ]
