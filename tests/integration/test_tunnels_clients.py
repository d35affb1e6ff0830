"""
Foreign programs other than curl through C{twist mux}: ssh and WebSockets, forward and
reverse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.forwarder import LOOPBACK, inThread, onReactor, reactor
from tests.integration.programs import Program, Programs
from tests.integration.test_clients_ssh import Client
from tests.integration.test_clients_websocket import server, talk
from tests.integration.test_tunnels import forward, reverse

Tunnel = Callable[[Programs, str], tuple[Program, ...]]


@asynccontextmanager
async def behind(
    tunnel: Tunnel, programs: Programs, factory: Any
) -> AsyncIterator[int]:
    """
    A server behind a tunnel.

    @return: the port that leads to it.
    """
    port = reactor.listenTCP(0, factory, interface=LOOPBACK)
    target = f"tcp:{LOOPBACK}:{port.getHost().port}"
    try:
        pair = await inThread(tunnel, programs, target)
        yield pair[0].port
    finally:
        await port.stopListening()


@pytest.mark.parametrize("tunnel", [forward, reverse])
@onReactor
async def test_ssh(tunnel: Tunnel, programs: Programs, tmp_path: Path) -> None:
    """
    Commands run through tunnels.
    """
    client = Client(tmp_path)
    async with behind(tunnel, programs, client.server()) as port:
        await client.talk(port)


@pytest.mark.parametrize("tunnel", [forward, reverse])
@onReactor
async def test_websocket(tunnel: Tunnel, programs: Programs) -> None:
    """
    A conversation through tunnels.
    """
    async with behind(tunnel, programs, server()) as port:
        assert await inThread(talk, port) == 1000
