"""
The harness itself: the peers are built, start, talk to each other and end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess

from tests.interop.peers import (
    IMPLEMENTATIONS,
    CommandFailed,
    Implementation,
    Peer,
    PeerEnded,
    noise,
    sumLine,
    whyNot,
)

processes = cast(IReactorProcess, reactor)


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """
    Each of them whose toolchain is there.
    """
    found = IMPLEMENTATIONS[request.param]
    reason = whyNot(found.toolchain)
    if reason:
        pytest.skip(reason)
    return found


@pytest.fixture
def started() -> Iterator[list[Peer]]:
    """
    Peers put into this list end with the test.
    """
    peers: list[Peer] = []
    yield peers
    for peer in peers:
        pytest_twisted.blockon(peer.kill())


async def pair(
    implementation: Implementation, started: list[Peer], **options: int
) -> tuple[Peer, Peer]:
    """
    A client and a server that have a session.
    """
    wire = next(iter(implementation.wires.values()))
    server = Peer.spawn(
        processes, implementation, "listen", "127.0.0.1:0", **wire, **options
    )
    started.append(server)
    address = f"127.0.0.1:{await server.port()}"
    client = Peer.spawn(processes, implementation, "dial", address, **wire, **options)
    started.append(client)
    assert (await client.ready())["role"] == "client"
    assert (await server.ready())["implementation"] == implementation.package
    return client, server


@pytest_twisted.ensureDeferred
async def test_talk(implementation: Implementation, started: list[Peer]) -> None:
    """
    Commands, replies and events; and the deterministic bytes are ours, too.
    """
    client, server = await pair(implementation, started)
    reply = await client.command("open", service="take", size=1000, seed=5)
    assert (reply["sent"], reply["received"]) == (1000, len(sumLine(noise(1000, 5))))
    event = await server.waitFor("served", service="take")
    assert event["ok"]
    reply = await server.command(
        "open", service="echo", size=2000, streams=3, concurrent=True, exact=True
    )
    assert reply["received"] == 6000


@pytest_twisted.ensureDeferred
async def test_failures(implementation: Implementation, started: list[Peer]) -> None:
    """
    What did not work out fails the command's Deferred; so does the peer's end.
    """
    client, server = await pair(implementation, started)
    with pytest.raises(CommandFailed):
        await client.command("read", name="nobody")
    waiting: Deferred[dict[str, Any]] = server.waitFor("never")
    await server.kill()
    with pytest.raises(PeerEnded):
        await waiting
    with pytest.raises(PeerEnded):
        await server.command("stats")


@pytest_twisted.ensureDeferred
async def test_unknownOption(
    implementation: Implementation, started: list[Peer]
) -> None:
    server = Peer.spawn(processes, implementation, "listen")
    started.append(server)
    address = f"127.0.0.1:{await server.port()}"
    client = Peer.spawn(processes, implementation, "dial", address, nonsense=1)
    started.append(client)
    assert "nonsense" in (await client.waitFor("failed"))["error"]
    await client.ended


def test_missingToolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a toolchain there is one line to skip with, but on CI an error.
    """
    from tests.interop import peers

    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    assert len(peers.missingToolchains()) == 2
    reason = whyNot(peers.GO)
    assert reason is not None
    assert "install" in reason
    monkeypatch.setenv("CI", "true")
    with pytest.raises(peers.ToolchainMissing):
        whyNot(peers.GO)
