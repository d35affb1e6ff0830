"""
Limits that are no session's own, attacked: those of listeners, of a turn of the reactor,
of the cost of small chunks, and of what the wires can count.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.attacks.scene import Scene, servedOn
from tests.unit.carrying import Network, logged, resultOf
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import MuxServerEndpoint
from twisted_mux.engine import stream as streams
from twisted_mux.errors import FlowControlError
from twisted_mux.factory import MuxFactory
from twisted_mux.testing import MemoryConnection, VirtualClock
from twisted_mux.wire import codecNamed, wireNames, wires
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit

KIB = 1024
MIB = 1024 * KIB
HOUR = 3600.0

everyWire = pytest.mark.parametrize("wire", wireNames())
creditWires = pytest.mark.parametrize(
    "wire",
    [
        name
        for name in wireNames()
        if codecNamed(name).capabilities.credit is not Credit.NONE
    ],
)


class Stranger(Protocol):
    """
    Somebody who connects, and may say something.
    """

    def __init__(self) -> None:
        self.lost = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class Listener:
    """
    C{mux:} as a server, whom many strangers and somebody honest have dialled.
    """

    def __init__(self, wire: str = "auto", **config: Any) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock)
        server = MuxServerEndpoint(
            self.clock, self.network, wire=wire, config=MuxConfig(**config)
        )
        resultOf(server.listen(Factory.forProtocol(Echo)))
        self.wire = "yamux" if wire == "auto" else wire
        self.strangers: list[Stranger] = []

    def connect(self, client: Any, host: str) -> None:
        """
        Somebody dials.
        """
        connection = MemoryConnection(self.clock)
        address = IPv4Address("TCP", host, 7)
        server = self.network.factory.buildProtocol(address)
        vars(connection.server)["getPeer"] = lambda: address
        connection.connect(client, server)
        self.clock.settle()

    def crowd(self, count: int) -> int:
        """
        Strangers dial.

        @return: how many are still there.
        """
        for _ in range(count):
            self.strangers.append(Stranger())
            self.connect(self.strangers[-1], "203.0.113.9")
        return self.present

    @property
    def present(self) -> int:
        """
        How many strangers are there.
        """
        return sum(not stranger.lost for stranger in self.strangers)

    def honest(self) -> Callable[[], None]:
        """
        Somebody honest dials, from elsewhere.

        @return: checks that he is served.
        """
        client = MuxFactory(
            role="client",
            wire=self.wire,
            config=MuxConfig(keepAlive=0, keepAliveTimeout=0),
            reactor=self.clock,
        ).buildProtocol(None)
        self.connect(client, "192.0.2.77")
        return servedOn(client, self.clock)


class Echo(Protocol):
    """
    Says it again.
    """

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


@pytest.mark.parametrize(
    ("limit", "most", "says"),
    [
        ("maxSessions", 10, "10 sessions are open (limit maxSessions: 10)"),
        (
            "maxSessionsPerPeer",
            10,
            "10 sessions from 203.0.113.9 are open (limit maxSessionsPerPeer: 10)",
        ),
    ],
)
@pytest.mark.parametrize("wire", [*wireNames(), "auto"])
def test_crowd(wire: str, limit: str, most: int, says: str) -> None:
    """
    Many carriers from one address: all of them are there without a limit; with one the
    rest is refused, with one line for all, and who was there stays.
    """
    quiet = {"keepAlive": 0, "keepAliveTimeout": 0, "detectTimeout": 0}
    lifted = Listener(wire, **quiet)
    assert lifted.crowd(200) == 200

    listener = Listener(wire, **quiet, **{limit: most})
    honest = listener.honest()
    with logged() as lines:
        present = listener.crowd(200)
    assert present == most - (limit == "maxSessions")
    (line,) = lines
    assert line == f"carrier from 203.0.113.9:7 refused: {says}"
    honest()
    if limit == "maxSessionsPerPeer":
        # Others still find the door open.
        listener.honest()()


def test_sayingNothing() -> None:
    """
    Where the first bytes tell the wire, those who say nothing stay without
    C{detectTimeout}; with it they are gone, with a line each.
    """
    lifted = Listener(detectTimeout=0)
    lifted.crowd(50)
    lifted.clock.advance(HOUR)
    assert lifted.present == 50

    listener = Listener()
    honest = listener.honest()
    listener.crowd(50)
    with logged() as lines:
        listener.clock.advance(11)
    assert listener.present == 0
    assert set(lines) == {
        "carrier from 203.0.113.9:7 refused: the peer sent nothing within 10 seconds (limit detectTimeout: 10)"
    }
    assert len(lines) == 50
    honest()


@pytest.mark.parametrize(
    "wire",
    [name for name in wireNames() if not codecNamed(name).capabilities.addressed],
)
def test_slowly(wire: str) -> None:
    """
    What is allowed at once is allowed again so much per second, and no more: frames
    without effect, and resets.
    """
    resets = codecNamed(wire).capabilities.reset

    def ends(perSecond: int, kind: str) -> bool:
        scene = Scene(wire)
        key = scene.open()
        idle = scene.codec.payloadHeader(key, 0)
        for _ in range(20):
            for _ in range(perSecond):
                if kind == "idle":
                    scene.raw.carrier.write(idle)
                else:
                    key = scene.key()
                    frames = scene.opening(key) + scene.codec.encodeReset(key)
                    scene.raw.carrier.write(frames)
            scene.clock.advance(1)
            scene.raw.received.clear()
            if scene.engine.over:
                break
        scene.honest()
        return bool(scene.engine.over)

    for kind in ("idle", "reset") if resets else ("idle",):
        assert not ends(100, kind)
        assert ends(200, kind)


@everyWire
def test_framesOfATurn(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A chunk of tiny frames is no more work at once than so many frames; without that
    bound it is all done before anybody else gets a turn.
    """

    def most(scene: Scene) -> int:
        scene.victims.echoes = False
        key = scene.open()
        honest = scene.neighbour()
        frame = scene.data(key, b"x")
        scene.engine.receive(frame * 3000, scene.clock.seconds())
        done = scene.victims.built[0].chunks
        scene.clock.settle()
        assert scene.victims.built[0].received == 3000
        honest()
        scene.honest()
        return done

    assert most(Scene(wire)) == FRAMES_PER_TURN
    for codec in wires().values():
        for kind in codec.__mro__:
            module = __import__(kind.__module__, fromlist=["x"])
            if hasattr(module, "FRAMES_PER_TURN"):
                monkeypatch.setattr(module, "FRAMES_PER_TURN", 10**9)
    assert most(Scene(wire)) == 3000


@everyWire
def test_bytesOfATurn(wire: str) -> None:
    """
    A reader that resumes, with much that waits for it, gets no more in one turn than
    C{turnBytes}, and a chunk; without that it gets everything.
    """

    def most(**config: Any) -> int:
        scene = Scene(wire, window=4 * MIB, receiveBudget=64 * MIB, **config)
        scene.victims.whenMade = lambda victim: victim.stream.pauseProducing()
        scene.victims.echoes = False
        key = scene.open()
        for _ in range(60):
            scene.send(scene.data(key, bytes(32768)))
        (victim,) = scene.victims.built
        victim.stream.resumeProducing()
        before = most = 0
        while scene.clock.turn():
            most = max(most, victim.received - before)
            before = victim.received
        assert victim.received == 60 * 32768
        scene.honest()
        return most

    assert most(turnBytes=2**40) == 60 * 32768
    assert 256 * KIB <= most() <= 256 * KIB + 32768


@everyWire
def test_smallChunks(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What small chunks cost to hold is counted, and they are joined: a reader that pauses
    costs no more memory than its session's budget, however its data is cut.  If bytes
    alone were counted, and kept as they came, it would be many times as much.
    """
    budget = 32 * KIB

    def memory(window: int) -> int:
        scene = Scene(
            wire,
            receiveBudget=budget,
            window=window,
            maxWindow=window,
            resetBurst=10**9,
        )
        scene.victims.whenMade = lambda victim: victim.stream.pauseProducing()
        key = scene.open()
        frame = scene.data(key, b"xy") * 400
        gc.collect()
        tracemalloc.start()
        try:
            while scene.engine.reading:
                scene.send(frame)
            scene.raw.received.clear()
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert budget <= scene.engine.held <= budget + 64 * KIB
        scene.honest()
        return held

    window = 256 * KIB
    assert memory(window) <= 2 * budget
    monkeypatch.setattr(streams, "CHUNK_CHARGE", 0)
    monkeypatch.setattr(streams, "JOIN_LIMIT", 0)
    assert memory(window) >= 10 * budget


@creditWires
def test_creditBeyondTheWire(wire: str) -> None:
    """
    Grants that add up past what the wire can count end the session; without the check
    they would go on adding up (CVE-2025-54804).
    """

    def grant(scene: Scene) -> int:
        """
        @return: the most credit that the stream has ever had.
        """
        key = scene.open()
        stream = scene.streamOf(key)
        most = 0
        for _ in range(4):
            if not scene.engine.over:
                scene.send(scene.codec.encodeCredit(key, 0xFFFFFFFF, 0, 0xFFFFFFFF))
                most = max(most, stream.sendCredit)
        return most

    lifted = Scene(wire)
    reader = lifted.engine._reader
    reader._capabilities = replace(reader._capabilities, maxCredit=2**70)
    with_ = Scene(wire)
    honest = with_.neighbour()
    with logged() as lines:
        most = grant(with_)
    with_.honest()
    assert most <= 0xFFFFFFFF
    if with_.capabilities.credit is Credit.CUMULATIVE:
        # There a window is told as a whole: nothing adds up.
        honest()
        assert grant(lifted) == 0xFFFFFFFF
        return
    assert grant(lifted) > 0xFFFFFFFF
    (line,) = lines
    assert line.startswith(f"{with_.name} ended: stream ")
    assert line.endswith(" bytes is past the wire's 4294967295")
    assert isinstance(with_.session._error, FlowControlError)
    code = with_.codec.goAwayCodes["flow"]
    assert with_.heard()[-1] == ("goAwayReceived", code)
