"""
Our side of the stream services that C{README.md} lists, in both parts: whoever
opened the stream (L{Caller}) and whoever accepted it (L{Service}).

They are written the way the peers' programs are, as a conversation: read so much,
write, end.  The transports below are what is tested, so they are used as
applications do: half-closed, as consumers of producers, paused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from io import BytesIO
from typing import Any, cast

from twisted.internet.defer import Deferred, FirstError, ensureDeferred, gatherResults
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.interop.peers import noise, sumLine

#: What is written in one go; more is left to a producer.
AT_ONCE = 64 * 1024


def digest(data: bytes) -> str:
    """
    What two sides compare.
    """
    return hashlib.sha256(data).hexdigest()


def together(*parts: Coroutine[Any, Any, Any] | Deferred[Any]) -> Deferred[list[Any]]:
    """
    Fires with all their results; the first failure is passed on as it is.
    """
    running = [
        part if isinstance(part, Deferred) else ensureDeferred(part) for part in parts
    ]
    both = gatherResults(running, consumeErrors=True)

    def first(failure: Failure) -> Failure:
        failed: Failure = cast(FirstError, failure.value).subFailure
        return failed

    return both.addErrback(first)


class Conditions:
    """
    Who waits for something to become true, looked at whenever C{changed} says
    so.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """
        Fires when C{condition} is true.
        """
        answer: Deferred[None] = Deferred(self._cancelled)
        if condition():
            answer.callback(None)
        else:
            self._waiting.append((condition, answer))
        return answer

    def changed(self) -> None:
        """
        Some may be true now.
        """
        for entry in list(self._waiting):
            condition, answer = entry
            if entry in self._waiting and condition():
                self._waiting.remove(entry)
                answer.callback(None)

    def _cancelled(self, answer: Deferred[None]) -> None:
        self._waiting = [each for each in self._waiting if each[1] is not answer]


@implementer(IHalfCloseableProtocol)
class Conversation(Protocol):
    """
    A stream whose data is read when it is wanted.

    @ivar data: what has come and was not read yet.
    @ivar readEnded: is the other side's direction at its end?
    @ivar writeEnded: has ours been sent, with its end?
    @ivar losses: how often C{connectionLost} was called.
    @ivar reason: what it was called with.
    """

    # A StreamTransport, which has more than Twisted's interfaces say.
    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.readEnded = False
        self.writeEnded = False
        self.losses = 0
        self.reason: Failure | None = None
        self.conditions = Conditions()

    # IProtocol and IHalfCloseableProtocol.

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.conditions.changed()

    def readConnectionLost(self) -> None:
        self.readEnded = True
        self.conditions.changed()

    def writeConnectionLost(self) -> None:
        self.writeEnded = True
        self.conditions.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.losses += 1
        self.reason = reason
        self.conditions.changed()

    # Reading.

    @property
    def over(self) -> bool:
        """
        Does nothing more come?
        """
        return self.readEnded or self.reason is not None

    def _take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def _mustHaveEnded(self) -> None:
        if not self.readEnded and self.reason is not None:
            self.reason.raiseException()

    async def readSome(self) -> bytes:
        """
        What is there, at least one byte; nothing at the end.
        """
        await self.conditions.until(lambda: bool(self.data) or self.over)
        if not self.data:
            self._mustHaveEnded()
        return self._take(len(self.data))

    async def read(self, size: int) -> bytes:
        """
        Exactly so many bytes.

        @raise ConnectionClosed: there are fewer.
        """
        await self.conditions.until(lambda: len(self.data) >= size or self.over)
        if len(self.data) < size:
            self._mustHaveEnded()
            raise ConnectionDone(f"{len(self.data)} of {size} bytes")
        return self._take(size)

    async def readLine(self) -> bytes:
        """
        Up to the end of a line, without that.
        """
        await self.conditions.until(lambda: b"\n" in self.data or self.over)
        size = self.data.find(b"\n") + 1
        return (await self.read(size or len(self.data) + 1))[:-1]

    async def readAll(self) -> bytes:
        """
        Everything up to the end of the other side's direction.

        @raise ConnectionClosed: it did not end, the stream was lost.
        """
        await self.conditions.until(lambda: self.over)
        self._mustHaveEnded()
        return self._take(len(self.data))

    # Writing.

    def write(self, data: bytes) -> None:
        """
        Send when it can be sent.
        """
        self.transport.write(data)

    async def send(self, data: bytes) -> None:
        """
        The same; long data by way of a producer, as a program would, and then
        this returns when all has been taken.
        """
        if len(data) <= AT_ONCE:
            self.write(data)
        else:
            await FileSender().beginFileTransfer(BytesIO(data), self.transport)

    async def sendAndEnd(self, data: bytes) -> None:
        """
        Send, and end our direction behind it.
        """
        await self.send(data)
        self.end()

    def end(self) -> None:
        """
        End our direction.
        """
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """
        Be done with the stream.
        """
        self.transport.loseConnection()

    async def whenLost(self) -> Failure:
        """
        The reason that C{connectionLost} gets, or has got.
        """
        await self.conditions.until(lambda: self.reason is not None)
        assert self.reason is not None
        return self.reason


class Caller(Conversation):
    """
    The opener's part.
    """

    async def ask(
        self, service: str, size: int = 0, seed: int = 0, exact: bool = False
    ) -> None:
        """
        Write the service's line, do what the opener does there, check what
        comes back, and close.
        """
        await _CALLS[service](self, size, seed, exact)
        self.close()
        await self.whenLost()

    async def _echo(self, size: int, seed: int, exact: bool) -> None:
        data = noise(size, seed)
        self.write(b"echo\n")
        if exact:
            _, got = await together(self.send(data), self.read(size))
            self.end()
            got += await self.readAll()
        else:
            _, got = await together(self.sendAndEnd(data), self.readAll())
        assert (len(got), digest(got)) == (size, digest(data))

    async def _sink(self, size: int, seed: int, exact: bool) -> None:
        data = noise(size, seed)
        self.write(b"sink\n")
        await self.sendAndEnd(data)
        assert await self.readAll() == sumLine(data)

    async def _take_(self, size: int, seed: int, exact: bool) -> None:
        data = noise(size, seed)
        self.write(b"take %d\n" % size)
        await self.send(data)
        assert await self.readAll() == sumLine(data)

    async def _source(self, size: int, seed: int, exact: bool) -> None:
        self.write(b"source %d %d\n" % (size, seed))
        got = await self.readAll()
        assert (len(got), digest(got)) == (size, digest(noise(size, seed)))

    async def _half(self, size: int, seed: int, exact: bool) -> None:
        self.write(b"half %d %d\n" % (size, seed))
        data = noise(size, seed)
        got = await self.readAll()
        assert (len(got), digest(got)) == (size, digest(data))
        await self.sendAndEnd(data)

    async def _late(self, size: int, seed: int, exact: bool) -> None:
        self.write(b"late %d %d\n" % (size, seed))
        self.end()
        got = await self.readAll()
        assert (len(got), digest(got)) == (size, digest(noise(size, seed)))


_CALLS: dict[str, Callable[[Caller, int, int, bool], Awaitable[None]]] = {
    "echo": Caller._echo,
    "sink": Caller._sink,
    "take": Caller._take_,
    "source": Caller._source,
    "half": Caller._half,
    "late": Caller._late,
}


class Service(Conversation):
    """
    The acceptor's part.

    @ivar service: the first word of the opener's line, once it is there.
    @ivar label: the second one.
    @ivar received: the bytes of the services that read to the end.
    @ivar finished: fires when the service is done, with the error that it met
        or C{None}.
    """

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        self.service = ""
        self.label = ""
        self.received = b""
        self.finished: Deferred[BaseException | None] = Deferred()

    def connectionMade(self) -> None:
        ensureDeferred(self._serve())

    async def _serve(self) -> None:
        error: BaseException | None = None
        try:
            line = (await self.readLine()).decode("ascii")
            self.service, *words = line.split()
            self.label = words[0] if words else ""
            self.services.conditions.changed()
            await _SERVICES[self.service](self, *words)
        except ConnectionClosed as lost:
            error = lost
        except BaseException as wrong:
            error = wrong
            self.services.errors.append(wrong)
            self.transport.abortConnection()
        self.finished.callback(error)

    async def _echo(self) -> None:
        # What is read waits for what is written.
        self.transport.registerProducer(self.transport, True)
        while data := await self.readSome():
            self.write(data)
        self.transport.unregisterProducer()
        self.close()

    async def _sink(self) -> None:
        self.received = await self.readAll()
        self.write(sumLine(self.received))
        self.close()

    async def _take_(self, size: str) -> None:
        self.received = await self.read(int(size))
        self.write(sumLine(self.received))
        self.end()
        await self.readAll()
        self.close()

    async def _hold(self, milliseconds: str, size: str = "") -> None:
        self.transport.pauseProducing()
        if int(milliseconds) < 0:
            await self.services.conditions.until(lambda: self.services.released)
        else:
            await self.services.pause(int(milliseconds) / 1000)
        self.transport.resumeProducing()
        if size:
            await self._take_(size)
        else:
            await self._sink()

    async def _source(self, size: str, seed: str) -> None:
        await self.sendAndEnd(noise(int(size), int(seed)))
        self.received = await self.readAll()
        self.close()

    async def _late(self, size: str, seed: str) -> None:
        self.received = await self.readAll()
        await self.send(noise(int(size), int(seed)))
        self.close()

    async def _closeUnread(self, milliseconds: str) -> None:
        self.transport.pauseProducing()
        await self.services.pause(int(milliseconds) / 1000)
        self.close()
        await self.whenLost()

    async def _reset(self, milliseconds: str, code: str = "0") -> None:
        await self.services.pause(int(milliseconds) / 1000)
        self.transport.abortConnection()
        await self.whenLost()

    async def _manual(self, name: str) -> None:
        """
        The test goes on with it.
        """


_SERVICES: dict[str, Callable[..., Awaitable[None]]] = {
    "echo": Service._echo,
    "sink": Service._sink,
    "take": Service._take_,
    "hold": Service._hold,
    "source": Service._source,
    "half": Service._source,
    "late": Service._late,
    "close-unread": Service._closeUnread,
    "reset": Service._reset,
    "manual": Service._manual,
}


class Services(Factory):
    """
    What accepts a peer's streams.

    @ivar accepted: all of them, oldest first.
    @ivar released: may services go on that C{hold} without a time?
    @ivar errors: what went wrong within services that is no stream's end.
    """

    noisy = False

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.accepted: list[Service] = []
        self.released = False
        self.errors: list[BaseException] = []
        self.conditions = Conditions()

    def buildProtocol(self, addr: IAddress | None) -> Service:
        service = Service(self)
        self.accepted.append(service)
        return service

    def release(self) -> None:
        """
        Let those who hold go on.
        """
        self.released = True
        self.conditions.changed()

    def pause(self, seconds: float) -> Deferred[None]:
        """
        Fires after so long.
        """
        answer: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, answer.callback, None)
        return answer

    def _find(self, service: str, label: str) -> Service | None:
        for each in self.accepted:
            if each.service == service and label in ("", each.label):
                return each
        return None

    async def arrived(self, service: str, label: str = "") -> Service:
        """
        The first stream, now or later, that asks for this service.
        """
        await self.conditions.until(lambda: self._find(service, label) is not None)
        return cast(Service, self._find(service, label))
