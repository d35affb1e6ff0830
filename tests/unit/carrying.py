"""
A network in memory, for endpoints to listen on and to dial, in virtual time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.testing import MemoryConnection, VirtualClock


class Dial:
    """
    Somebody dials.
    """

    def __init__(self, network: Network, factory: Any) -> None:
        self._network = network
        self.factory = factory
        self.cancelled = False
        self.deferred: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, deferred: Deferred[Any]) -> None:
        self.cancelled = True

    def accept(self) -> MemoryConnection:
        """
        Whoever listens accepts.
        """
        network = self._network
        connection = MemoryConnection(network.clock)
        protocol = self.factory.buildProtocol(connection.SERVER)
        connection.connect(protocol, network.factory.buildProtocol(connection.CLIENT))
        network.connections.append(connection)
        self.deferred.callback(protocol)
        return connection

    def refuse(self, error: Exception | None = None) -> None:
        """
        Nobody listens.
        """
        self.deferred.errback(Failure(error or Refused("nobody")))


@implementer(IListeningPort)
class MemoryPort:
    """
    Where a network is listened on.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def startListening(self) -> None:
        """
        It does.
        """

    def stopListening(self) -> Deferred[None]:
        """
        Nobody is accepted any more.
        """
        self._network.factory = None
        return succeed(None)

    def getHost(self) -> Any:
        """
        The address.
        """
        return MemoryConnection.SERVER


@implementer(IStreamClientEndpoint, IStreamServerEndpoint)
class Network:
    """
    One place in a network, and both kinds of endpoints for it.

    @ivar factory: what listens there.
    @ivar dials: who has dialled and has no answer yet.
    @ivar connections: all that were accepted.
    @ivar refuses: does it fail to listen?
    @ivar listening: how often was it listened on?
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.factory: Any = None
        self.dials: list[Dial] = []
        self.connections: list[MemoryConnection] = []
        self.refuses: Exception | None = None
        self.listening = 0

    def listen(self, factory: Any) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint}.
        """
        self.listening += 1
        if self.refuses is not None:
            return fail(self.refuses)
        self.factory = factory
        factory.doStart()
        return succeed(MemoryPort(self))

    def connect(self, factory: Any) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.
        """
        dial = Dial(self, factory)
        self.dials.append(dial)
        return dial.deferred

    def accept(self) -> MemoryConnection:
        """
        Accept who has dialled first, and let happen what then happens.
        """
        connection = self.dials.pop(0).accept()
        self.clock.settle()
        return connection

    def refuse(self, error: Exception | None = None) -> None:
        """
        Refuse who has dialled first.
        """
        self.dials.pop(0).refuse(error)
        self.clock.settle()


class Peer(Protocol):
    """
    Remembers what it is told.
    """

    reason: Failure | None = None
    data = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Keep it.
        """
        self.reason = reason

    @property
    def stream(self) -> Any:
        """
        The transport.
        """
        return self.transport


class Peers(Factory):
    """
    Builds L{Peer}s.

    @ivar built: those that were built.
    @ivar running: how often it was started, less stopped.
    """

    noisy = False
    protocol = Peer

    def __init__(self) -> None:
        self.built: list[Peer] = []
        self.running = 0

    def doStart(self) -> None:
        """
        Count.
        """
        self.running += 1

    def doStop(self) -> None:
        """
        Count.
        """
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Peer:
        """
        One more.
        """
        peer = Peer()
        self.built.append(peer)
        return peer


def failureOf(deferred: Deferred[Any]) -> Failure:
    """
    The failure that a Deferred has by now.
    """
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    assert len(failures) == 1, deferred
    return failures[0]


def resultOf(deferred: Deferred[Any]) -> Any:
    """
    The result that a Deferred has by now.
    """
    results: list[Any] = []

    def take(result: Any) -> Any:
        results.append(result)
        return result

    deferred.addCallback(take)
    assert len(results) == 1, deferred
    return results[0]


def pending(deferred: Deferred[Any]) -> bool:
    """
    Has it not fired yet?
    """
    return not deferred.called


@contextmanager
def logged(level: str = "warn") -> Iterator[list[str]]:
    """
    The messages of one level that were logged.
    """
    messages: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_level"].name == level and "twisted_mux" in event["log_namespace"]:
            messages.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield messages
    finally:
        globalLogPublisher.removeObserver(observe)
