"""
The processes of py-libp2p: its yamux and its mplex on a TCP connection of trio, without
the security and the negotiation that libp2p would put below and above them.

Run by the harness: C{ROLE WIRE JOB [PORT]}.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, cast

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.stream_muxer.mplex.mplex import Mplex
from libp2p.stream_muxer.yamux.yamux import Yamux

from tests.benchmarks.job import BLOCK_SIZE, ECHO, MESSAGE_SIZE, Job, message
from tests.benchmarks.workers.reporting import Meter, fatal, limited, say

LOOPBACK = "127.0.0.1"
MUXERS = {"yamux": Yamux, "mplex": Mplex}
PEER = ID(b"benchmark")
BLOCK = b"b" * BLOCK_SIZE


def session(wire: str, carrier: trio.SocketStream, initiator: bool) -> Any:
    """
    A session on a connection.
    """
    # What they want is secured; for a muxer there is no difference.
    connection: Any = RawConnection(TrioTCPStream(carrier), initiator)
    return MUXERS[wire](connection, PEER)


class Side:
    """
    What both sides have.
    """

    def __init__(self, job: Job, wire: str, nursery: trio.Nursery) -> None:
        self.job = job
        self.wire = wire
        self.nursery = nursery
        self.meter = Meter(job, self._callLater)

    def _callLater(self, delay: float, function: Any) -> None:
        async def later() -> None:
            await trio.sleep(delay)
            function()

        self.nursery.start_soon(later)


class Server(Side):
    """
    Accepts streams.
    """

    async def run(self, carrier: trio.SocketStream) -> None:
        """
        Serve one carrier.
        """
        muxed = session(self.wire, carrier, False)
        self.nursery.start_soon(muxed.start)
        while True:
            stream = await muxed.accept_stream()
            if self.job.kind == "bulk":
                self.meter.begin()
            self.nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: Any) -> None:
        """
        The first byte tells whether it is echoed or counted.
        """
        data = await received(stream)
        echoes = data.startswith(ECHO)
        while data:
            if echoes:
                await stream.write(data)
            else:
                self.meter.count += len(data)
            data = await received(stream)
        await stream.close()


async def received(stream: Any) -> bytes:
    """
    What has come; nothing at its end.
    """
    try:
        return cast(bytes, await stream.read(BLOCK_SIZE))
    except Exception as error:
        # Each of the two has its own way to tell.
        if "EOF" in type(error).__name__:
            return b""
        raise


class Client(Side):
    """
    Opens streams.
    """

    def __init__(self, job: Job, wire: str, nursery: trio.Nursery) -> None:
        super().__init__(job, wire, nursery)
        self._numbers = 0

    async def run(self, port: int) -> None:
        """
        Open what is needed.
        """
        carrier = await trio.open_tcp_stream(LOOPBACK, port)
        self.session = session(self.wire, carrier, True)
        self.nursery.start_soon(self.session.start)
        await self.session.event_started.wait()
        for _ in range(self.job.idle):
            await self._exchange(await self.session.open_stream(), self._message())
        kinds = {"bulk": self._bulk, "echo": self._echo, "churn": self._churn}
        for _ in range(self.job.bulk):
            self.nursery.start_soon(self._bulk)
        for _ in range(self.job.streams):
            self.nursery.start_soon(kinds[self.job.kind])
        if self.job.kind != "bulk":
            self.meter.begin()

    def _message(self) -> bytes:
        self._numbers += 1
        return message(self._numbers)

    async def _exchange(self, stream: Any, sent: bytes) -> None:
        await stream.write(sent)
        back = b""
        while len(back) < MESSAGE_SIZE:
            more = await received(stream)
            if not more:
                break
            back += more
        if back != sent:
            fatal(f"{back!r} came back for {sent!r}")

    async def _bulk(self) -> None:
        stream = await self.session.open_stream()
        while True:
            await stream.write(BLOCK)

    async def _echo(self) -> None:
        stream = await self.session.open_stream()
        text = self._message()
        meter = self.meter
        while True:
            began = perf_counter()
            await self._exchange(stream, text)
            meter.count += 1
            if self.job.latency:
                meter.times.append(perf_counter() - began)

    async def _churn(self) -> None:
        while True:
            stream = await self.session.open_stream()
            await self._exchange(stream, self._message())
            await stream.close()
            self.meter.count += 1


async def run(role: str, wire: str, job: Job, port: str) -> None:
    """
    Be server or client, for ever.
    """
    async with trio.open_nursery() as nursery:
        if role == "client":
            await Client(job, wire, nursery).run(int(port))
            await trio.sleep_forever()
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        say(port=listener.socket.getsockname()[1])
        server = Server(job, wire, nursery)
        await trio.serve_listeners(server.run, [listener])


def main(role: str, wire: str, text: str, port: str = "") -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    try:
        trio.run(run, role, wire, job, port)
    except BaseException as error:
        fatal(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
