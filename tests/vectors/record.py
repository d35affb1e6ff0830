"""
Record what real peers say to each other, for C{*.json} beside this file::

    python tests/vectors/record.py [wire ...]

Two peers talk through a proxy that cuts both directions into frames.  What a
frame means is worked out here a second time, from the description of the wire
protocols alone, by parsers that are as simple as they can be: they get whole
frames only.  Nothing of C{twisted_mux} is imported, so that a vector can't
agree with our codec by descent.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.interop.peers import (  # noqa: E402
    IMPLEMENTATIONS,
    Implementation,
    arguments,
)

#: Frames of more bytes are left out, and counted, to keep the files small.
LONGEST = 2500
#: Seconds without traffic after which a step of a session is over.
QUIET = 0.06

Calls = list[list[Any]]
Entry = dict[str, Any]


class Parser:
    """
    Whole frames of one session, both directions, as calls on their reader.
    """

    def length(self, data: bytes) -> int | None:
        """
        The length of the first frame, header included, or C{None} if that
        can't be seen yet.
        """
        raise NotImplementedError

    def explain(self, sender: str, frame: bytes) -> tuple[Calls, str | None]:
        """
        The calls that the reader makes, and the method of ours that writes the
        same.
        """
        raise NotImplementedError


class Smux(Parser):
    def length(self, data: bytes) -> int | None:
        if len(data) < 8:
            return None
        return 8 + int.from_bytes(data[2:4], "little")

    def explain(self, sender: str, frame: bytes) -> tuple[Calls, str | None]:
        command, body = frame[1], frame[8:]
        key = int.from_bytes(frame[4:8], "little")
        if command == 0:
            return [["openReceived", key, 0, ""]], "encodeOpen"
        if command == 1:
            return [["endReceived", key]], "encodeEnd"
        if command == 2 and body:
            return [["payloadReceived", key, body.hex()]], "payloadHeader"
        if command == 2:
            return [["idleReceived"]], None
        if command == 3:
            return [["idleReceived"]], "encodeProbe"
        if command == 4:
            consumed = int.from_bytes(body[:4], "little")
            window = int.from_bytes(body[4:8], "little")
            return [["windowReceived", key, consumed, window]], "encodeCredit"
        raise AssertionError(frame.hex())


class Yamux(Parser):
    """
    Also net-mux, which has the same header, with other habits.
    """

    SYN, ACK, FIN, RST = 1, 2, 4, 8
    #: The type of our frames that only open, accept, end or reset.
    bare = 1

    def length(self, data: bytes) -> int | None:
        if len(data) < 12:
            return None
        return 12 + (int.from_bytes(data[8:12], "big") if data[1] == 0 else 0)

    def ping(self, flags: int, value: int) -> tuple[Calls, str]:
        if flags & self.ACK:
            return [["pongReceived", value]], "encodePong"
        assert flags & self.SYN
        return [["pingReceived", value]], "encodePing"

    def explain(self, sender: str, frame: bytes) -> tuple[Calls, str | None]:
        kind, flags = frame[1], int.from_bytes(frame[2:4], "big")
        key, number = (
            int.from_bytes(frame[4:8], "big"),
            int.from_bytes(frame[8:12], "big"),
        )
        body = frame[12:]
        if kind == 2:
            return self.ping(flags, number)
        if kind == 3:
            return [["goAwayReceived", number]], "encodeGoAway"
        calls: Calls = []
        credit = number if kind == 1 and not flags & self.RST else 0
        if flags & self.SYN:
            calls.append(["openReceived", key, credit, ""])
        if flags & self.ACK:
            calls.append(["acceptReceived", key, credit])
        if body:
            calls.append(["payloadReceived", key, body.hex()])
        elif credit and not flags & (self.SYN | self.ACK):
            calls.append(["creditReceived", key, credit])
        if flags & self.FIN:
            calls.append(["endReceived", key])
        if flags & self.RST:
            calls.append(["resetReceived", key, number if kind == 1 else 0])
        if not calls:
            calls.append(["idleReceived"])
        return calls, self.ours(kind, flags, number, body)

    def ours(self, kind: int, flags: int, number: int, body: bytes) -> str | None:
        """
        Which method of ours writes such a frame.
        """
        if flags == 0:
            if body:
                return "payloadHeader"
            return "encodeCredit" if kind == 1 and number else None
        if kind != self.bare or body:
            return None
        if flags in (self.FIN, self.RST) and number:
            return None
        names = {
            self.SYN: "encodeOpen",
            self.ACK: "encodeAccept",
            self.FIN: "encodeEnd",
            self.RST: "encodeReset",
        }
        return names.get(flags)


class NetMux(Yamux):
    bare = 0

    def ping(self, flags: int, value: int) -> tuple[Calls, str]:
        if flags & self.ACK:
            return [["pongReceived", value]], "encodePong"
        return [["pingReceived", value]], "encodePing"


class Mplex(Parser):
    @staticmethod
    def number(data: bytes) -> tuple[int, int] | None:
        """
        A varint, and how many bytes it has.
        """
        value = 0
        for index, byte in enumerate(data[:9]):
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                return value, index + 1
        return None

    def length(self, data: bytes) -> int | None:
        first = self.number(data)
        if first is None:
            return None
        second = self.number(data[first[1] :])
        if second is None:
            return None
        return first[1] + second[1] + second[0]

    def explain(self, sender: str, frame: bytes) -> tuple[Calls, str | None]:
        first = self.number(frame)
        assert first is not None
        second = self.number(frame[first[1] :])
        assert second is not None
        body = frame[first[1] + second[1] :]
        identity, tag = first[0] >> 3, first[0] & 7
        # NewStream and the "initiator" tags come from whoever opened it.
        key = identity << 1 | (tag in (0, 2, 4, 6))
        if tag == 0:
            return [["openReceived", key, 0, body.hex()]], "encodeOpen"
        if tag in (1, 2) and body:
            return [["payloadReceived", key, body.hex()]], "payloadHeader"
        if tag in (1, 2):
            return [["idleReceived"]], None
        if tag in (3, 4):
            return [["endReceived", key]], "encodeEnd"
        if tag in (5, 6):
            return [["resetReceived", key, 0]], "encodeReset"
        raise AssertionError(frame.hex())


class VtMux(Parser):
    def __init__(self) -> None:
        # Which sides have not ended, of keys that are open.
        self.live: dict[bytes, set[str]] = {}

    def length(self, data: bytes) -> int | None:
        if len(data) < 20:
            return None
        return 20 + int.from_bytes(data[18:20], "big")

    def explain(self, sender: str, frame: bytes) -> tuple[Calls, str | None]:
        key, body = frame[:18], frame[20:]
        if body:
            return [["payloadReceived", key.hex(), body.hex()]], "payloadHeader"
        calls: Calls = [["openOrEndReceived", key.hex()]]
        if key not in self.live:
            self.live[key] = {"client", "server"}
            return calls, "encodeOpen"
        self.live[key].discard(sender)
        if not self.live[key]:
            del self.live[key]
        return calls, "encodeEnd"


PARSERS: dict[str, type[Parser]] = {
    "smux1": Smux,
    "smux2": Smux,
    "yamux": Yamux,
    "netmux": NetMux,
    "mplex": Mplex,
    "vtmux": VtMux,
}


class Peer:
    """
    A peer's process: commands and replies.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.version = ""
        self.number = 0
        self.messages: list[Entry] = []
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self.listen())

    @classmethod
    async def start(
        cls, implementation: Implementation, mode: str, address: str, **options: int
    ) -> Peer:
        command = arguments(implementation, mode, address, **options)
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.messages.append(json.loads(line))
            self.news.set()

    async def wait(self, name: str, value: object) -> Entry:
        while True:
            for message in self.messages:
                if message.get(name) == value:
                    return message
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)

    async def __call__(
        self, cmd: str, *, fails: bool = False, **fields: object
    ) -> Entry:
        """
        Have a command carried out.
        """
        self.number += 1
        assert self.process.stdin is not None
        line = json.dumps({"id": self.number, "cmd": cmd, "timeout": 5, **fields})
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()
        reply = await self.wait("id", self.number)
        assert fails or reply["ok"], reply
        return reply

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.task


class Proxy:
    """
    Passes bytes on and notes the frames in them.
    """

    def __init__(self, parser: Parser) -> None:
        self.parser = parser
        self.frames: list[Entry] = []
        self.leftOut = 0
        self.rest = {"client": b"", "server": b""}
        self.target = 0
        self.traffic = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def accepted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection("127.0.0.1", self.target)
        self.tasks = [
            asyncio.create_task(self.copy("client", reader, there[1])),
            asyncio.create_task(self.copy("server", there[0], writer)),
        ]

    async def copy(
        self, sender: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                self.traffic += 1
                self.note(sender, data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    def note(self, sender: str, data: bytes) -> None:
        data = self.rest[sender] + data
        while (size := self.parser.length(data)) is not None and len(data) >= size:
            frame, data = data[:size], data[size:]
            calls, writes = self.parser.explain(sender, frame)
            if len(frame) > LONGEST:
                self.leftOut += 1
            else:
                self.frames.append(
                    {
                        "from": sender,
                        "hex": frame.hex(),
                        "calls": calls,
                        "writes": writes,
                    }
                )
        self.rest[sender] = data

    async def quiet(self) -> None:
        """
        Wait until nothing has passed for a while.
        """
        before = -1
        while before != self.traffic:
            before = self.traffic
            await asyncio.sleep(QUIET)


class Talk:
    """
    Two peers on the line, as a session's script sees them.
    """

    def __init__(self, client: Peer, server: Peer, proxy: Proxy) -> None:
        self.client, self.server, self.proxy = client, server, proxy

    async def do(self, peer: Peer, cmd: str, **fields: Any) -> Entry:
        """
        One step, until the line is quiet again.
        """
        reply = await peer(cmd, **fields)
        await self.proxy.quiet()
        return reply

    async def open(self, opener: Peer, name: str, **fields: Any) -> None:
        """
        Open a stream that both sides then know by C{name}.
        """
        other = self.server if opener is self.client else self.client
        await self.do(opener, "open", service="manual", name=name, **fields)
        await other.wait("line", f"manual {name}")
        await self.proxy.quiet()


Script = Callable[[Talk], Awaitable[None]]


async def session(
    wire: str,
    name: str,
    client: str,
    server: str,
    script: Script,
    *,
    clientOptions: dict[str, int] | None = None,
    serverOptions: dict[str, int] | None = None,
    shows: tuple[str, ...] = (),
) -> Entry:
    """
    Record one session.

    @param shows: calls and methods that must occur in it, or the recording is
        not what it says.
    """
    proxy = Proxy(PARSERS[wire]())
    listener = await asyncio.start_server(proxy.accepted, "127.0.0.1", 0)
    peers: list[Peer] = []
    try:
        for which, mode, options in (
            (server, "listen", serverOptions),
            (client, "dial", clientOptions),
        ):
            implementation = IMPLEMENTATIONS[which]
            port = listener.sockets[0].getsockname()[1] if mode == "dial" else 0
            peer = await Peer.start(
                implementation,
                mode,
                f"127.0.0.1:{port}",
                **{**implementation.wires[wire], **(options or {})},
            )
            peers.append(peer)
            if mode == "listen":
                proxy.target = (await peer.wait("event", "listening"))["port"]
        for peer in peers:
            peer.version = (await peer.wait("event", "ready"))["version"]
        await script(Talk(peers[1], peers[0], proxy))
        await proxy.quiet()
    finally:
        for peer in peers:
            await peer.stop()
        for task in proxy.tasks:
            await task
        listener.close()
        await listener.wait_closed()
    assert not any(proxy.rest.values()), (name, proxy.rest)
    text = json.dumps(proxy.frames)
    for each in shows:
        assert each in text, f"{wire}, {name}: no {each}"
    one = client == server
    packages = IMPLEMENTATIONS[client].package, IMPLEMENTATIONS[server].package
    return {
        "name": name,
        "peer": packages[0] if one else f"{packages[0]} -> {packages[1]}",
        "version": peers[1].version
        if one
        else f"{peers[1].version} -> {peers[0].version}",
        "role-note": f"client is {packages[0]}, server is {packages[1]}",
        "left-out": proxy.leftOut,
        "frames": proxy.frames,
    }


async def halfClose(t: Talk) -> None:
    """
    Each side ends while data goes on in the other direction.
    """
    await t.open(t.client, "a")
    await t.do(t.server, "write", name="a", hex="48656c6c6f")
    await t.do(t.client, "read", name="a", size=5)
    await t.do(t.client, "end", name="a")
    await t.do(t.server, "write", name="a", size=300, seed=1)
    await t.do(t.client, "read", name="a", size=300)
    await t.do(t.server, "end", name="a")
    await t.open(t.client, "b")
    await t.do(t.server, "end", name="b")
    await t.do(t.client, "write", name="b", size=40, seed=2)
    await t.do(t.client, "end", name="b")
    await t.do(t.server, "read-all", name="b")


async def bothOpen(t: Talk) -> None:
    """
    Streams from both sides at once.
    """
    for name in "ab":
        await t.open(t.client, f"c{name}")
        await t.open(t.server, f"s{name}")
    for name in ("ca", "sa", "cb", "sb"):
        await t.do(t.client, "write", name=name, size=20, seed=3)
        await t.do(t.server, "write", name=name, size=30, seed=4)
        await t.do(t.client, "read", name=name, size=30)
        await t.do(t.server, "read", name=name, size=20)
    for name in ("ca", "sa"):
        await t.do(t.client, "end", name=name)
        await t.do(t.server, "end", name=name)
    for name in ("cb", "sb"):
        await t.do(t.server, "end", name=name)
        await t.do(t.client, "end", name=name)


async def closeWhole(t: Talk) -> None:
    """
    Streams closed without a half-close, in the peer's own way.
    """
    for opener, other, name in (
        (t.client, t.server, "a"),
        (t.server, t.client, "b"),
    ):
        await t.open(opener, name)
        await t.do(other, "write", name=name, size=10, seed=5)
        await t.do(opener, "close-stream", name=name, fails=True)
        await t.do(other, "write", name=name, size=10, seed=6, fails=True)
        await t.do(other, "close-stream", name=name, fails=True)


def longPayload(size: int, chunk: int) -> Script:
    """
    More than fits in a frame, read at once.
    """

    async def script(t: Talk) -> None:
        await t.open(t.client, "a")
        reading = asyncio.create_task(t.server("read", name="a", size=size))
        await t.do(t.client, "write", name="a", size=size, seed=7, chunk=chunk)
        await reading
        await t.do(t.client, "end", name="a")
        await t.do(t.server, "end", name="a")

    return script


async def openOnly(t: Talk) -> None:
    await t.open(t.client, "a")


def idle(seconds: float) -> Script:
    async def script(t: Talk) -> None:
        await t.open(t.client, "a")
        await asyncio.sleep(seconds)

    return script


def reset(code: int) -> Script:
    async def script(t: Talk) -> None:
        await t.open(t.client, "a")
        await t.do(t.client, "reset", name="a", code=code)
        await t.open(t.client, "b")
        await t.do(t.server, "write", name="b", size=10, seed=8)
        await t.do(t.server, "reset", name="b", code=code)
        await t.open(t.server, "c")
        await t.do(t.client, "reset", name="c", code=code)

    return script


def refused(count: int) -> Script:
    """
    More streams than the server takes.
    """

    async def script(t: Talk) -> None:
        for index in range(count):
            await t.do(t.client, "open", service="none", name=f"r{index}", fails=True)

    return script


async def pings(t: Talk) -> None:
    for _ in range(2):
        await t.do(t.client, "ping")
        await t.do(t.server, "ping")


async def goAwayThenMore(t: Talk) -> None:
    """
    A live stream goes on after a go-away; the sender of it refuses new ones.
    """
    await t.open(t.client, "a")
    await t.do(t.server, "goaway")
    await t.do(t.client, "write", name="a", size=20, seed=9, fails=True)
    await t.do(t.server, "write", name="a", size=20, seed=9, fails=True)
    await t.do(t.client, "end", name="a", fails=True)
    await t.do(t.server, "end", name="a", fails=True)


def closeSession(code: int) -> Script:
    async def script(t: Talk) -> None:
        await t.open(t.client, "a")
        await t.do(t.server, "close", code=code)

    return script


async def smux1() -> list[Entry]:
    go, rust = "go-smux", "rust-smux"
    fast = {"keepalive": 150, "keepalive_timeout": 5000}
    still = {"keepalive": 0}
    both: dict[str, Any] = {"clientOptions": still, "serverOptions": still}
    payload = longPayload(2600, 2600)
    small = {"max_frame": 1000, **still}
    # fmt: off
    return [
        await session("smux1", "half-close by each side", go, go, halfClose, **both),
        await session("smux1", "streams from both sides", go, go, bothOpen, **both),
        await session("smux1", "close with one FIN", go, go, closeWhole, **both),
        await session("smux1", "payload of several frames", go, go, payload,
                      clientOptions=small, serverOptions=still),
        await session("smux1", "keep-alive", go, go, idle(0.5), clientOptions=fast,
                      serverOptions=fast, shows=("encodeProbe",)),
        await session("smux1", "half-close by each side", rust, rust, halfClose, **both),
        await session("smux1", "streams from both sides", rust, go, bothOpen, **both),
        await session("smux1", "keep-alive", go, rust, idle(0.4), clientOptions=still,
                      serverOptions=fast, shows=("encodeProbe",)),
    ]
    # fmt: on


async def smux2() -> list[Entry]:
    go = "go-smux"
    still = {"keepalive": 0}
    fast = {"keepalive": 150, "keepalive_timeout": 5000}
    both: dict[str, Any] = {"clientOptions": still, "serverOptions": still}
    small = {"window": 1024, "max_frame": 500, **still}
    large = {"window": 1048576, **still}
    shows = ("windowReceived",)
    # fmt: off
    return [
        await session("smux2", "half-close by each side", go, go, halfClose, **both, shows=shows),
        await session("smux2", "streams from both sides", go, go, bothOpen, **both, shows=shows),
        await session("smux2", "close with one FIN", go, go, closeWhole, **both),
        await session("smux2", "a window smaller than what is in flight", go, go, longPayload(3000, 3000),
                      clientOptions=small, serverOptions=small, shows=shows),
        await session("smux2", "a window of 1 MiB", go, go, longPayload(200, 200),
                      clientOptions=large, serverOptions=large, shows=(", 1048576]",)),
        await session("smux2", "frames that are left out, and window updates", go, go,
                      longPayload(200_000, 32768), **both, shows=shows),
        await session("smux2", "keep-alive", go, go, idle(0.5), clientOptions=fast,
                      serverOptions=fast, shows=("encodeProbe",)),
    ]
    # fmt: on


async def yamux() -> list[Entry]:
    hashicorp, go, rust = "hashicorp-yamux", "go-yamux", "rust-yamux"
    still = {"keepalive": 0}
    fast = {"keepalive": 150}
    both: dict[str, Any] = {"clientOptions": still, "serverOptions": still}
    large = {"window": 1048576, **still}
    found: list[Entry] = []

    async def add(
        name: str, client: str, server: str, script: Script, **more: Any
    ) -> None:
        options = {} if rust in (client, server) else dict(both)
        if rust in (client, server):
            for side, which in (("clientOptions", client), ("serverOptions", server)):
                if which != rust:
                    options[side] = still
        found.append(
            await session("yamux", name, client, server, script, **{**options, **more})
        )

    for peer in (hashicorp, go, rust):
        await add("half-close by each side", peer, peer, halfClose)
        await add("streams from both sides", peer, peer, bothOpen)
        await add("close in the peer's own way", peer, peer, closeWhole)
        await add(
            "frames that are left out, and window updates",
            peer,
            peer,
            longPayload(400_000, 65536),
            shows=("encodeCredit",),
        )
    for peer in (hashicorp, go):
        await add(
            "a window of 1 MiB",
            peer,
            peer,
            openOnly,
            clientOptions=large,
            serverOptions=large,
            shows=(", 786432",),
        )
        await add("pings by each side", peer, peer, pings, shows=("pongReceived",))
        await add(
            "keep-alive",
            peer,
            peer,
            idle(0.5),
            clientOptions=fast,
            serverOptions=fast,
            shows=("pongReceived",),
        )
        await add("go-away 0", peer, peer, goAwayThenMore, shows=("goAwayReceived",))
        shows = ("resetReceived",)
        limit = {"backlog": 2, "accepting": 0, **still}
        await add(
            "refused: backlog", peer, peer, refused(4), serverOptions=limit, shows=shows
        )
    await add(
        "refused: number of streams",
        go,
        go,
        refused(3),
        serverOptions={"max_streams": 2, **still},
        shows=shows,
    )
    await add("reset", go, go, reset(0), shows=shows)
    await add("reset with a code", go, go, reset(7), shows=shows)
    await add("reset by dropping", rust, rust, reset(0), shows=shows)
    await add(
        "session closed with code 9",
        go,
        go,
        closeSession(9),
        shows=('"goAwayReceived", 9',),
    )
    await add("session closed", rust, rust, closeSession(0), shows=("goAwayReceived",))
    await add("half-close by each side", hashicorp, rust, halfClose)
    await add("half-close by each side", rust, go, halfClose)
    await add("half-close by each side", go, hashicorp, halfClose)
    await add(
        "session closed", hashicorp, rust, closeSession(0), shows=("goAwayReceived",)
    )
    return found


async def netmux() -> list[Entry]:
    peer = "net-mux"
    still = {"keepalive": 0}
    both: dict[str, Any] = {"clientOptions": still, "serverOptions": still}
    fast = {"keepalive": 150}
    small = {"window": 1024, "max_frame": 500, **still}
    few = {"max_streams": 2, **still}

    async def unknown(t: Talk) -> None:
        await t.open(t.client, "a")
        await t.do(t.server, "close-stream", name="a")
        await t.do(t.client, "write", name="a", size=10, seed=1, fails=True)

    # fmt: off
    return [
        await session("netmux", "half-close by each side", peer, peer, halfClose, **both),
        await session("netmux", "streams from both sides", peer, peer, bothOpen, **both),
        await session("netmux", "close in the peer's own way", peer, peer, closeWhole, **both),
        await session("netmux", "a small window, several frames", peer, peer, longPayload(3000, 3000),
                      clientOptions=small, serverOptions=small, shows=("encodeCredit",)),
        await session("netmux", "keep-alive", peer, peer, idle(0.5), clientOptions=fast,
                      serverOptions=fast, shows=("pongReceived", "pingReceived")),
        await session("netmux", "reset", peer, peer, reset(0), **both, shows=("encodeReset",)),
        await session("netmux", "refused: number of streams", peer, peer, refused(4),
                      clientOptions=still, serverOptions=few, shows=("resetReceived",)),
        await session("netmux", "payload for a stream that is gone", peer, peer, unknown, **both,
                      shows=("resetReceived",)),
        await session("netmux", "session closed", peer, peer, closeSession(0), **both,
                      shows=("goAwayReceived",)),
    ]
    # fmt: on


async def mplex() -> list[Entry]:
    peer = "go-mplex"

    async def unnamed(t: Talk) -> None:
        """
        Many streams, so that ids need two bytes, named by their number.
        """
        for index in range(18):
            await t.client("open", service="none", name="")
            if index == 0:
                await t.server("open", service="none", name="")
        await t.open(t.client, "last")
        await t.do(t.server, "end", name="last")
        await t.do(t.client, "end", name="last")

    async def slowReader(t: Talk) -> None:
        await t.open(t.client, "a")
        await t.do(t.client, "write", name="a", size=200, seed=1, chunk=10, fails=True)
        await asyncio.sleep(0.5)
        await t.proxy.quiet()

    # fmt: off
    return [
        await session("mplex", "half-close by each side", peer, peer, halfClose),
        await session("mplex", "streams from both sides", peer, peer, bothOpen),
        await session("mplex", "close in the peer's own way", peer, peer, closeWhole),
        await session("mplex", "streams named by their number", peer, peer, unnamed),
        await session("mplex", "payload of 2,000 bytes", peer, peer, longPayload(2000, 2000)),
        await session("mplex", "reset", peer, peer, reset(0), shows=("encodeReset",)),
        await session("mplex", "a slow reader is reset", peer, peer, slowReader,
                      serverOptions={"receive_timeout": 200}, shows=("resetReceived",)),
    ]
    # fmt: on


async def vtmux() -> list[Entry]:
    peer = "vt-muxer"

    async def addresses(t: Talk) -> None:
        for index, address in enumerate(
            ("[2001:db8::7]:443", "192.0.2.1:80", "[::]:0", "255.255.255.255:65535")
        ):
            name = f"a{index}"
            await t.open(t.client, name, address=address)
            await t.do(t.server, "end", name=name)
            await t.do(t.client, "end", name=name)

    async def again(t: Talk) -> None:
        """
        An address may be used again once both directions have ended.
        """
        for index in range(3):
            await t.open(t.client, f"n{index}", address="192.0.2.9:9")
            await t.do(t.client, "end", name=f"n{index}")
            await t.do(t.server, "end", name=f"n{index}")

    # fmt: off
    return [
        await session("vtmux", "half-close by each side", peer, peer, halfClose),
        await session("vtmux", "streams from both sides", peer, peer, bothOpen),
        await session("vtmux", "close in the peer's own way", peer, peer, closeWhole),
        await session("vtmux", "addresses of both kinds", peer, peer, addresses),
        await session("vtmux", "an address used again", peer, peer, again),
        await session("vtmux", "payload of 2,000 bytes", peer, peer, longPayload(2000, 2000)),
    ]
    # fmt: on


RECORDERS: dict[str, Callable[[], Awaitable[list[Entry]]]] = {
    "smux1": smux1,
    "smux2": smux2,
    "yamux": yamux,
    "netmux": netmux,
    "mplex": mplex,
    "vtmux": vtmux,
}


def render(wire: str, recordings: list[Entry]) -> str:
    """
    JSON with a line for each frame, so that differences can be read.
    """
    parts = []
    for recording in recordings:
        head = {name: value for name, value in recording.items() if name != "frames"}
        frames = ",\n".join(f"   {json.dumps(frame)}" for frame in recording["frames"])
        parts.append(f'  {json.dumps(head)[:-1]}, "frames": [\n{frames}\n  ]}}')
    body = ",\n".join(parts)
    return f'{{"wire": {json.dumps(wire)}, "recordings": [\n{body}\n]}}\n'


async def main(wires: list[str]) -> None:
    for wire in wires or RECORDERS:
        recordings = await RECORDERS[wire]()
        text = render(wire, recordings)
        assert json.loads(text)["recordings"] == recordings
        (Path(__file__).parent / f"{wire}.json").write_text(text)
        frames = sum(len(each["frames"]) for each in recordings)
        print(f"{wire}: {len(recordings)} sessions, {frames} frames, {len(text)} bytes")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
