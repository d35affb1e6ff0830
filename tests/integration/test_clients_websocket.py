"""
Autobahn's WebSocket server on streams, with another implementation's client.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from websockets.sync.client import connect

from tests.integration.forwarder import LOOPBACK, inThread, onReactor, served
from twisted_mux.wire import wireNames


class Echo(WebSocketServerProtocol):
    """
    Sends every message back.
    """

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


def server() -> Any:
    """
    A server that sends every message back.
    """
    factory: Any = WebSocketServerFactory()
    factory.protocol = Echo
    factory.noisy = False
    return factory


def talk(port: int) -> int | None:
    """
    Messages of either kind, small and large, a ping, and the closing handshake.

    @return: the code that the server closes with.
    """
    with connect(
        f"ws://{LOOPBACK}:{port}", open_timeout=20, compression=None, proxy=None
    ) as client:
        client.send("grüße")
        assert client.recv(20) == "grüße"
        assert client.ping().wait(20)
        for data in (b"", b"x", os.urandom(300_000)):
            client.send(data)
            assert client.recv(20) == data
        client.close()
        return client.protocol.close_code


@pytest.mark.parametrize("wire", wireNames())
@onReactor
async def test_websocket(wire: str) -> None:
    """
    A conversation through a stream of every wire.
    """
    async with served(wire, server()) as there:
        assert await inThread(talk, there.port) == 1000
