"""
How a foreign program gets onto a stream: through a forwarder, which listens on plain
TCP and opens a stream for each connection; and what else tests with foreign programs
share.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
)
from twisted.internet.error import ConnectionDone, ProcessDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.endpoints import MuxClientEndpoint
from twisted_mux.listening import MuxPort

P = ParamSpec("P")
T = TypeVar("T")

#: The reactor, with all its interfaces at once.
reactor: Any = _reactor
#: Where everything listens.
LOOPBACK = "127.0.0.1"
#: Seconds that a test may take, and a foreign program.
TIMEOUT = 60


def onReactor(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """
    Decorates a test that is a coroutine: it runs on the reactor and has a time limit.
    """

    @functools.wraps(test)
    async def limited(*args: P.args, **kwargs: P.kwargs) -> None:
        await Deferred.fromCoroutine(test(*args, **kwargs)).addTimeout(TIMEOUT, reactor)

    return cast(
        "Callable[P, Coroutine[Any, Any, None]]", pytest_twisted.ensureDeferred(limited)
    )


def inThread(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """
    Run a client that blocks in a thread of its own.
    """
    return deferToThread(function, *args, **kwargs)


def program(name: str, package: str) -> str:
    """
    The path of a program; without it the test is skipped, but fails on CI.
    """
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not here: install the Debian package {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class ProgramFailed(Exception):
    """
    A program ended with another exit code than 0.
    """


class _Program(ProcessProtocol):
    def __init__(self, command: str, stdin: bytes | None) -> None:
        self._command = command
        self._stdin = stdin
        self._output: list[bytes] = []
        self._errors: list[bytes] = []
        self.done: Deferred[bytes] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        # What holds the test up is in what it said so far.
        cast(Any, self.transport).signalProcess("KILL")

    def connectionMade(self) -> None:
        if self._stdin is not None:
            transport = cast(Any, self.transport)
            transport.write(self._stdin)
            transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._output.append(data)

    def errReceived(self, data: bytes) -> None:
        self._errors.append(data)

    def processEnded(self, reason: Failure) -> None:
        if self.done.called:
            return
        if reason.check(ProcessDone):
            self.done.callback(b"".join(self._output))
            return
        text = b"".join([*self._errors, *self._output]).decode(errors="replace")
        self.done.errback(
            ProgramFailed(f"{self._command}: {reason.getErrorMessage()}\n{text}")
        )


def run(
    *command: str, stdin: bytes | None = b"", **environment: str
) -> Deferred[bytes]:
    """
    Run a program to its end.

    @param stdin: what it reads; C{None} leaves its standard input open.
    @param environment: what is different from our environment.
    @return: fires with what it printed, or fails with L{ProgramFailed}.
    """
    protocol = _Program(command[0], stdin)
    reactor.spawnProcess(protocol, command[0], command, {**os.environ, **environment})
    return protocol.done


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """
    One side of a forwarded connection.
    """

    _other: _Side | None = None
    _readEnded = False
    _writeEnded = False

    def join(self, other: _Side) -> None:
        """
        From now on all that arrives goes to the other side.
        """
        self._other = other
        transport = cast(Any, self.transport)
        cast(Any, other.transport).registerProducer(transport, True)
        transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        assert self._other is not None
        assert self._other.transport is not None
        self._other.transport.write(data)

    def readConnectionLost(self) -> None:
        self._readEnded = True
        other = self._other
        assert other is not None
        transport = cast(Any, other.transport)
        # It would wait for a producer that is paused, and has nothing more.
        transport.unregisterProducer()
        transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        self._writeEnded = True
        if self._readEnded:
            cast(Any, self.transport).loseConnection()
        if self._other is not None:
            self._other.peerTookEnd()

    def peerTookEnd(self) -> None:
        """
        The end of what arrived here has been passed on.
        """
        if self._writeEnded:
            cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        other = self._other
        if other is None:
            return
        self._other = None
        transport = cast(Any, other.transport)
        transport.unregisterProducer()
        if reason.check(ConnectionDone):
            transport.loseConnection()
        else:
            transport.abortConnection()


class _Incoming(_Side):
    """
    A connection from a foreign program, for which a stream is opened.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, greeting: bytes) -> None:
        self._endpoint = endpoint
        self._greeting = greeting

    def connectionMade(self) -> None:
        cast(Any, self.transport).pauseProducing()
        outgoing = _Outgoing()
        connectProtocol(self._endpoint, outgoing).addCallbacks(
            self._opened, self._notOpened
        )

    def _opened(self, outgoing: _Side) -> None:
        if cast(Any, self.transport).disconnected:
            cast(Any, outgoing.transport).abortConnection()
            return
        cast(Any, outgoing.transport).write(self._greeting)
        outgoing.join(self)
        self.join(outgoing)

    def _notOpened(self, reason: Failure) -> None:
        cast(Any, self.transport).abortConnection()


class _Outgoing(_Side):
    """
    The stream.
    """

    def connectionMade(self) -> None:
        cast(Any, self.transport).pauseProducing()


class Forwarder(Factory):
    """
    Opens a stream for each connection, and passes on what arrives on either: data
    with back-pressure, the end of each direction by itself, and the loss.

    @ivar endpoint: opens them.
    @ivar connections: how many there were.
    @cvar greeting: what is sent before anything else.
    """

    noisy = False
    greeting = b""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self.endpoint = endpoint
        self.connections = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.connections += 1
        return _Incoming(self.endpoint, self.greeting)


class Served:
    """
    A factory that is served on streams.

    @ivar endpoint: opens streams to it.
    @ivar muxPort: where carriers arrive.
    @ivar forwarder: opens them for foreign programs, which connect to
    @ivar port: this port of TCP, on the loopback interface.
    """

    def __init__(
        self,
        endpoint: MuxClientEndpoint,
        muxPort: MuxPort,
        forwarder: Forwarder,
        port: int,
    ) -> None:
        self.endpoint = endpoint
        self.muxPort = muxPort
        self.forwarder = forwarder
        self.port = port


@asynccontextmanager
async def served(wire: str, factory: IProtocolFactory) -> AsyncIterator[Served]:
    """
    A factory behind C{mux:tcp:}, C{mux:tcp:} in front of it, and a forwarder in front
    of that.  There is one carrier for all, which is made sure of in the end.
    """
    server = serverFromString(reactor, f"mux:tcp:0:interface={LOOPBACK}:wire={wire}")
    muxPort: Any = await server.listen(factory)
    endpoint: Any = clientFromString(
        reactor, f"mux:tcp:{LOOPBACK}:{muxPort.getHost().port}:wire={wire}"
    )
    forwarder = Forwarder(endpoint)
    port: Any = await TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK).listen(
        forwarder
    )
    try:
        yield Served(endpoint, muxPort, forwarder, port.getHost().port)
        assert muxPort.carriersAccepted == 1
    except BaseException:
        # Streams that a failed test has left would hold the end up.
        for session in (*endpoint.sessions, *muxPort.sessions):
            session.abort()
        raise
    finally:
        sessions = (*endpoint.sessions, *muxPort.sessions)
        await port.stopListening()
        await muxPort.stopListening()
        await endpoint.closeCarriers()
        for session in sessions:
            await session.whenClosed()
