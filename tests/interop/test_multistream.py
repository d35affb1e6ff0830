"""
multistream-select with go-multistream, over hashicorp's yamux: in both roles, and
openers that do not wait for the answer.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    serverFromString,
)
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.utils import getProcessOutput
from twisted.protocols.wire import Echo

from tests.integration.forwarder import LOOPBACK, onReactor, reactor
from tests.interop.peers import GO, whyNot
from twisted_mux.reasons import ProtocolRefused

SOURCE = Path(__file__).parent / "multistream"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """
    The program.  Go keeps what it has compiled, so it need not be kept here.
    """
    reason = whyNot(GO)
    if reason:
        pytest.skip(reason)
    binary = tmp_path_factory.mktemp("multistream") / "peer"
    command = ["go", "build", "-trimpath", "-mod=readonly", "-o", str(binary), "."]
    subprocess.run(command, cwd=SOURCE, check=True)
    return str(binary)


@pytest.mark.parametrize(
    ("how", "names", "said"),
    [
        ("select", ["/echo/1.0"], "agreed /echo/1.0 question"),
        ("select", ["/a", "/b", "/echo/1.0"], "agreed /echo/1.0 question"),
        ("select", ["/a", "/b"], "failed protocols not supported: [/a /b]"),
        ("lazy", ["/echo/1.0"], "agreed /echo/1.0 question"),
        ("lazy", ["/a"], "failed protocols not supported: [/a]"),
    ],
)
@onReactor
async def test_goOpens(peer: str, how: str, names: list[str], said: str) -> None:
    """
    Go proposes names to us.
    """
    string = (
        f"mux:tcp:0:interface={LOOPBACK}:muxProtocol=/echo/1.0:muxNegotiate=multistream"
    )
    factory: Any = Factory.forProtocol(Echo)
    factory.noisy = False
    port: Any = await serverFromString(reactor, string).listen(factory)
    address = f"{LOOPBACK}:{port.getHost().port}"
    output = await getProcessOutput(peer, ["dial", address, how, *names])
    assert output.decode().strip() == said
    await port.stopListening()


class Listens(ProcessProtocol):
    """
    The peer, where it listens.
    """

    def __init__(self) -> None:
        self.port: Deferred[int] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._output = b""

    def outReceived(self, data: bytes) -> None:
        """
        It tells its port.
        """
        self._output += data
        if self._output.endswith(b"\n") and not self.port.called:
            self.port.callback(int(self._output.split()[1]))

    def processEnded(self, reason: object) -> None:
        """
        It was ended.
        """
        self.gone.callback(None)


class Asks(Protocol):
    """
    Asks, and waits for the answer.
    """

    transport: Any

    def __init__(self) -> None:
        self.answer = b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(b"question")

    def dataReceived(self, data: bytes) -> None:
        """
        That is it.
        """
        self.answer += data
        if len(self.answer) == len(b"question"):
            self.done.callback(self.answer)
            self.transport.loseConnection()


@onReactor
async def test_weOpen(peer: str) -> None:
    """
    We propose names to Go: the last one is there; none is.
    """
    listens = Listens()
    process: Any = reactor.spawnProcess(listens, peer, [peer, "listen", "/echo/1.0"])
    try:
        port = await listens.port
        string = f"mux:tcp:{LOOPBACK}:{port}:muxIdle=0:muxNegotiate=multistream"
        asks = Asks()
        endpoint = clientFromString(reactor, f"{string}:muxProtocol=/a,/b,/echo/1.0")
        await connectProtocol(endpoint, asks)
        assert asks.transport.protocolName == b"/echo/1.0"
        assert await asks.done == b"question"
        endpoint = clientFromString(reactor, f"{string}:muxProtocol=/a,/b")
        with pytest.raises(ProtocolRefused) as caught:
            await connectProtocol(endpoint, Asks())
        assert caught.value.refused == (b"/a", b"/b")
    finally:
        process.signalProcess("KILL")
        await listens.gone
