"""
What is done on streams to see that their carrier carries: an echo, and a question
whose end is what is answered, by several streams at once.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

#: How many streams each side opens.
STREAMS = 3
#: Everything is sent back at once.
ECHO = b"e"
#: When the end has come, the hash and then everything is sent back.
HALF_CLOSE = b"h"


@implementer(IHalfCloseableProtocol)
class Answerer(Protocol):
    """
    Does as the first byte says.
    """

    transport: Any

    def connectionMade(self) -> None:
        self._mode = b""
        self._held: list[bytes] = []
        # We read no faster than what we send is taken.
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        if not self._mode:
            self._mode, data = data[:1], data[1:]
        if self._mode == ECHO:
            self.transport.write(data)
        else:
            self._held.append(data)

    def readConnectionLost(self) -> None:
        self.transport.unregisterProducer()
        if self._mode == HALF_CLOSE:
            data = b"".join(self._held)
            self.transport.writeSequence([hashlib.sha256(data).digest(), data])
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        raise AssertionError("we close both directions at once")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        factory = self.factory
        assert isinstance(factory, Answers)
        factory.oneLess(reason)


class Answers(Factory):
    """
    Builds L{Answerer}s.

    @ivar peers: the addresses that they were built for.
    @ivar answered: fires when L{STREAMS} of them have ended in order.
    """

    protocol = Answerer
    noisy = False

    def __init__(self) -> None:
        self.peers: list[object] = []
        self.answered: Deferred[None] = Deferred()
        self._left = STREAMS

    def buildProtocol(self, addr: Any) -> Any:
        self.peers.append(addr)
        return super().buildProtocol(addr)

    def oneLess(self, reason: Failure) -> None:
        """
        One of them has lost its connection.
        """
        if not reason.check(ConnectionDone):
            self._left = 0
            self.answered.errback(reason)
            return
        self._left -= 1
        if not self._left:
            self.answered.callback(None)


@implementer(IHalfCloseableProtocol)
class Asker(Protocol):
    """
    Sends data, and sees whether what comes back is right.

    @ivar done: fires when the connection is over and everything was.
    """

    transport: Any

    def __init__(self, mode: bytes, data: bytes) -> None:
        self._mode = mode
        self._data = data
        self._hash = hashlib.sha256()
        self._count = 0
        self._writeEnded = self._readEnded = False
        self._expected = len(data)
        if mode == HALF_CLOSE:
            self._expected += self._hash.digest_size
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.writeSequence([self._mode, self._data])
        if self._mode == HALF_CLOSE:
            self.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        self._writeEnded = True

    def dataReceived(self, data: bytes) -> None:
        if self._mode == HALF_CLOSE:
            assert self._writeEnded
        self._count += len(data)
        self._hash.update(data)
        if self._mode == ECHO and self._count >= self._expected:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self._readEnded = True
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        right = self._data
        if self._mode == HALF_CLOSE:
            right = hashlib.sha256(self._data).digest() + right
        if not reason.check(ConnectionDone):
            self.done.errback(reason)
        elif self._hash.digest() != hashlib.sha256(right).digest():
            self.done.errback(
                AssertionError(f"{self._count} bytes of {self._expected}, or others")
            )
        elif self._mode == HALF_CLOSE and not self._readEnded:
            self.done.errback(AssertionError("it was closed in both directions"))
        else:
            self.done.callback(None)


async def exchange(endpoint: IStreamClientEndpoint, mode: bytes, size: int) -> None:
    """
    Open L{STREAMS} streams at once, and have each of them send so many bytes.
    """
    askers = [Asker(mode, os.urandom(size)) for _ in range(STREAMS)]
    await gatherResults(
        [
            connectProtocol(endpoint, asker).addCallback(lambda asker: asker.done)
            for asker in askers
        ],
        consumeErrors=True,
    )
