"""
The processes of bare asyncio: its protocols, on connections of their own.

Run by the harness: C{ROLE tcp JOB [PORT]}.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from time import perf_counter
from typing import Any, cast

from tests.benchmarks.job import BLOCK_SIZE, ECHO, Job, message
from tests.benchmarks.workers.reporting import Meter, fatal, limited, raiseLimits, say

LOOPBACK = "127.0.0.1"
BACKLOG = 16384
BLOCK = b"b" * BLOCK_SIZE


class Served(asyncio.Protocol):
    """
    What the server has for a connection: the first byte tells what it is for.
    """

    def __init__(self, meter: Meter, job: Job) -> None:
        self._meter = meter
        self._job = job
        self._echoes: bool | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Bulk begins with the first.
        """
        self._transport = cast(asyncio.Transport, transport)
        noDelay(transport)
        if self._job.kind == "bulk":
            self._meter.begin()

    def data_received(self, data: bytes) -> None:
        """
        A message to send back, or bulk to count.
        """
        if self._echoes is None:
            self._echoes = data.startswith(ECHO)
        if self._echoes:
            self._transport.write(data)
        else:
            self._meter.count += len(data)


class Opened(asyncio.Protocol):
    """
    One of the client's connections.
    """

    transport: asyncio.Transport

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.message = message(number)
        self._part = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        It is open: send the first message.
        """
        self.transport = cast(asyncio.Transport, transport)
        noDelay(transport)
        self.sentAt = perf_counter()
        self.transport.write(self.message)

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Nothing closes them while they are measured.
        """
        fatal(exc or "a connection was closed")

    def completed(self, data: bytes) -> bool:
        """
        Is the echo whole with this part?
        """
        self._part += data
        if self._part == self.message:
            self._part = b""
            return True
        if not self.message.startswith(self._part):
            fatal(f"{self._part!r} came back for {self.message!r}")
        return False


class Messages(Opened):
    """
    Sends a message, and when it has come back sends it again.
    """

    def data_received(self, data: bytes) -> None:
        """
        What came back, and it has to be just that.
        """
        if data != self.message and not self.completed(data):
            return
        meter = self.client.meter
        meter.count += 1
        if self.client.job.latency:
            meter.times.append(perf_counter() - self.sentAt)
            self.sentAt = perf_counter()
        self.transport.write(self.message)


class Idle(Opened):
    """
    Has one message echoed, and stays.
    """

    def data_received(self, data: bytes) -> None:
        """
        What came back.
        """
        if data == self.message or self.completed(data):
            self.client.settled()


class Churn(Opened):
    """
    Has one message echoed, closes, and another is opened in its stead.
    """

    def data_received(self, data: bytes) -> None:
        """
        What came back, and it has to be just that.
        """
        if data == self.message or self.completed(data):
            self.client.meter.count += 1
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Closed.
        """
        if exc is not None:
            fatal(exc)
        self.client.open(Churn)


class Bulk(Opened):
    """
    Writes blocks whenever it may.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Begin.
        """
        self.transport = cast(asyncio.Transport, transport)
        noDelay(transport)
        self.resume_writing()

    def resume_writing(self) -> None:
        """
        Go on.
        """
        self._paused = False
        while not self._paused:
            self.transport.write(BLOCK)

    def pause_writing(self) -> None:
        """
        Wait.
        """
        self._paused = True


class Client:
    """
    What the client does.
    """

    def __init__(self, job: Job, port: int) -> None:
        self.job = job
        self._port = port
        self._loop = asyncio.get_running_loop()
        self.meter = Meter(job, self._loop.call_later)
        self._waiting = job.idle
        self._numbers = 0
        self._tasks: set[Any] = set()

    def start(self) -> None:
        """
        Open what is needed before the active connections, a few at a time, then
        those.
        """
        for _ in range(min(self.job.idle, 100)):
            self.open(Idle)
        self._unopened = self.job.idle - min(self.job.idle, 100)
        if not self.job.idle:
            self._startActive()

    def settled(self) -> None:
        """
        An idle connection has had its message.
        """
        self._waiting -= 1
        if self._unopened:
            self._unopened -= 1
            self.open(Idle)
        if not self._waiting:
            self._startActive()

    def _startActive(self) -> None:
        kinds: dict[str, type[Opened]] = {
            "bulk": Bulk,
            "echo": Messages,
            "churn": Churn,
        }
        for _ in range(self.job.bulk):
            self.open(Bulk)
        for _ in range(self.job.streams):
            self.open(kinds[self.job.kind])
        if self.job.kind != "bulk":
            self.meter.begin()

    def open(self, kind: type[Opened]) -> None:
        """
        Open one.
        """
        self._numbers += 1
        made = kind(self, self._numbers)
        connecting = self._loop.create_connection(lambda: made, LOOPBACK, self._port)
        task = self._loop.create_task(connecting)
        self._tasks.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.exception() is not None:
            fatal(task.exception())


def noDelay(transport: asyncio.BaseTransport) -> None:
    """
    Small writes are sent at once.
    """
    handle = transport.get_extra_info("socket")
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def run(role: str, job: Job, port: str) -> None:
    """
    Be server or client, for ever.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: fatal(context.get("exception") or context["message"])
    )
    if role == "client":
        client = Client(job, int(port))
        client.start()
    else:
        meter = Meter(job, loop.call_later)
        server = await loop.create_server(
            lambda: Served(meter, job), LOOPBACK, 0, backlog=BACKLOG
        )
        say(port=server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


def main(role: str, wire: str, text: str, port: str = "") -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    raiseLimits()
    asyncio.run(run(role, job, port))


if __name__ == "__main__":
    main(*sys.argv[1:])
