"""
Two processes that publish, behind a real HAProxy, which tells them by the PROXY protocol
who has connected.

Peers who expose something dial HAProxy, which has their carriers go to either process;
so has it those who connect.  One process is killed under load.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from tests.integration.browser import needs
from tests.integration.programs import PATIENCE, Program, Programs, curl, freePort

CONFIG = """
global
    log stdout format raw local0

defaults
    mode tcp
    log global
    timeout connect 2s
    timeout client 1m
    timeout server 1m
    timeout check 2s
    retries 3
    option redispatch 1
    default-server inter 200ms fall 1 rise 1

frontend carriers
    bind 127.0.0.1:{carriers}
    default_backend carriers

backend carriers
    balance leastconn
    default-server on-marked-down shutdown-sessions
    option httpchk GET /alive
    server one 127.0.0.1:{carriersOne} send-proxy-v2 check port {statusOne}
    server two 127.0.0.1:{carriersTwo} send-proxy-v2 check port {statusTwo}

frontend public
    bind 127.0.0.1:{public}
    default_backend public

backend public
    balance roundrobin
    option httpchk GET /ready
    server one 127.0.0.1:{publicOne} send-proxy-v2 check port {statusOne}
    server two 127.0.0.1:{publicTwo} send-proxy-v2 check port {statusTwo}
"""
#: Where the peer's carriers come from.
PEER = "127.0.0.3"


def publisher(programs: Programs, ports: dict[str, int], name: str) -> Program:
    """
    A process that publishes, on the ports of that name.
    """
    program = programs.tunnel(
        f"haproxy:tcp:{ports[f'public{name}']}",
        f"mux-listen:haproxy:tcp:{ports[f'carriers{name}']}",
        *("--status", f"tcp:{ports[f'status{name}']}"),
    )
    program.saw("connections at")
    return program


def figures(ports: dict[str, int], name: str) -> dict[str, Any]:
    """
    What a publisher has to tell.
    """
    status: dict[str, Any] = json.loads(curl(ports[f"status{name}"], "status.json"))
    return status


class Load:
    """
    Connections to one port, each of which is answered with what it sends.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """
        One more, which is seen to work.
        """
        connection = await asyncio.open_connection("127.0.0.1", self._port)
        self._open.append(connection)
        assert await self.works(connection)
        return connection

    @staticmethod
    async def works(
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        """
        Does what is sent come back?
        """
        reader, writer = connection
        content = os.urandom(20_000)
        try:
            writer.write(content)
            echoed = reader.readexactly(len(content))
            return await asyncio.wait_for(echoed, PATIENCE) == content
        except (ConnectionError, asyncio.IncompleteReadError):
            return False

    async def once(self) -> bool:
        """
        A connection that sends something, ends, and then waits for the other end: is
        what it gets the same?
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        content = os.urandom(300_000)
        writer.write(content)
        writer.write_eof()
        received = await asyncio.wait_for(reader.read(-1), PATIENCE)
        writer.close()
        return received == content

    def close(self) -> None:
        """
        The end.
        """
        for _, writer in self._open:
            writer.transport.abort()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def apart(function: Callable[..., Any], *args: Any) -> Any:
    """
    Call what waits, while connections go on.
    """
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


async def peers(ports: dict[str, int], name: str, count: int) -> None:
    """
    Wait until a publisher knows as many carriers, and who is behind HAProxy.
    """
    found: list[str] = []
    while found != [PEER] * count:
        status = await apart(figures, ports, name)
        found = [each["peer"].split(":")[0] for each in status["carriers"]]


async def live(ports: dict[str, int], name: str, count: int) -> None:
    """
    Wait until a publisher has as many connections.
    """
    while (await apart(figures, ports, name))["tunnels"][0]["live"] != count:
        pass


async def main(programs: Programs, haproxy: str) -> None:
    """
    See C{test_publisherIsKilled}.
    """
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    kinds = ("carriers", "public")
    names = [*kinds, *(f"{kind}{n}" for kind in (*kinds, "status") for n in NAMES)]
    ports = {name: freePort() for name in names}
    load = Load(ports["public"])
    try:
        await scenario(programs, haproxy, ports, target, load)
    finally:
        load.close()
        server.close()


async def scenario(
    programs: Programs, haproxy: str, ports: dict[str, int], target: int, load: Load
) -> None:
    """
    What happens.

    @param target: the port of what is exposed.
    """
    publishers = {name: publisher(programs, ports, name) for name in NAMES}
    file = programs.folder / "haproxy.cfg"
    file.write_text(CONFIG.format(**ports))
    balancer = programs.start(haproxy, "-db", "-f", str(file))
    # Nobody has a carrier yet, and that is known.
    await apart(balancer.saw, "backend '?public'? has no server available")
    source = f"mux-dial:tcp:127.0.0.1:{ports['carriers']}:bindAddress={PEER}"
    expose = programs.tunnel(f"{source}:muxCarriers=2", f"tcp:127.0.0.1:{target}")
    for name in NAMES:
        # A carrier for each.
        await asyncio.wait_for(peers(ports, name, 1), PATIENCE)
        await apart(balancer.saw, f"Server public/{name.lower()} is UP")
    held = [await load.connect() for _ in range(40)]
    for name in NAMES:
        await asyncio.wait_for(live(ports, name, 20), PATIENCE)
    busy = [asyncio.ensure_future(load.works(each)) for each in held]
    await apart(publishers["One"].kill)
    # From then on every connection gets through, at the first try.
    fresh = await asyncio.gather(*(load.once() for _ in range(40)))
    assert fresh == [True] * 40
    await asyncio.gather(*busy)
    alive = await asyncio.gather(*(load.works(each) for each in held))
    assert alive.count(True) == 20
    # The carrier that was lost has moved.
    await asyncio.wait_for(peers(ports, "Two", 2), PATIENCE)
    # It is back, but nobody is sent there as long as it has no carrier.
    publishers["One"] = publisher(programs, ports, "One")
    await apart(balancer.saw, "Server carriers/one is UP")
    fresh = await asyncio.gather(*(load.once() for _ in range(40)))
    assert fresh == [True] * 40
    assert figures(ports, "One")["tunnels"][0]["total"] == 0
    # The other one ends in good order: its carriers move as well.
    publishers["Two"].signal(15)
    load.close()
    assert await apart(publishers["Two"].end) == 0
    await asyncio.wait_for(peers(ports, "One", 2), PATIENCE)
    await apart(balancer.saw, "Server public/one is UP", 2)
    assert await load.once()
    assert await apart(expose.terminate) == 0


NAMES = ("One", "Two")


def test_publisherIsKilled(programs: Programs) -> None:
    """
    One of two publishers is killed under load: its connections are lost, those of the
    other are not; every new connection gets through; the carriers move over.  When it is
    back it gets connections as soon as it has a carrier.
    """
    asyncio.run(main(programs, needs("haproxy")))
