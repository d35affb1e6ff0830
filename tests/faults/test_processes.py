"""
A peer that is killed, or stops its reactor, while data moves on a thousand streams;
and one that has vanished without a word, with real sockets in between.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.faults.leftovers import leavingNothing, reactorsWork
from tests.faults.moving import LOOPBACK, Movers
from tests.integration.forwarder import inThread, onReactor, reactor
from tests.integration.programs import Program, Programs
from twisted_mux.config import MuxConfig
from twisted_mux.errors import PeerTimeout

STREAMS = 1000


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """
    Starts programs.
    """
    programs = Programs(tmp_path)
    yield programs
    programs.endAll()
    programs.noTracebacks()


def _other(role: str) -> str:
    return "client" if role == "server" else "server"


async def _join(
    movers: Movers, programs: Programs, wire: str, role: str, how: str
) -> tuple[Program, Any]:
    """
    A carrier between us and a child.

    @return: the child, and our port, if we listen.
    """
    factory = movers.factory(wire, role)
    port: Any = None
    number = 0
    if role == "server":
        endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
        port = await endpoint.listen(factory)
        number = port.getHost().port
    child = programs.start(
        *(sys.executable, "-m", "tests.faults.child"),
        *(wire, _other(role), str(number), str(STREAMS), how),
    )
    if role == "client":
        [line] = await inThread(child.saw, "^port ")
        number = int(line.split()[1])
        await TCP4ClientEndpoint(reactor, LOOPBACK, number).connect(factory)
    return child, port


async def _lostTo(programs: Programs, wire: str, role: str, how: str) -> Program:
    """
    Have a child move data on all streams, and come to its end then.
    """
    movers = Movers(STREAMS)
    child, port = await _join(movers, programs, wire, role, how)
    if how == "run":
        await movers.moving
        child.process.kill()
    # Otherwise the child knows when data moves on all streams.
    await movers.lost
    if port is not None:
        await port.stopListening()
    # Not from within connectionLost.
    await deferLater(reactor, 0, lambda: None)
    movers.check("SessionLost")
    return child


@pytest.mark.parametrize("role", ["client", "server"])
@onReactor
async def test_killed(wire: str, role: str, programs: Programs) -> None:
    """
    The peer is killed: each of a thousand streams is told so, once, and nothing is
    left of them.
    """
    await deferLater(reactor, 0, lambda: None)
    before = reactorsWork(reactor)
    with leavingNothing():
        await _lostTo(programs, wire, role, "run")
        assert reactorsWork(reactor) == before


@pytest.mark.parametrize("role", ["client", "server"])
@onReactor
async def test_stopped(wire: str, role: str, programs: Programs) -> None:
    """
    The reactor is stopped in the middle: the process ends in order, each of its
    thousand streams was told once, nothing is logged as an error, and nothing is
    left; and the peer sees the loss of a carrier.
    """
    await deferLater(reactor, 0, lambda: None)
    before = reactorsWork(reactor)
    with leavingNothing():
        child = await _lostTo(programs, wire, role, "stop")
        assert await inThread(child.end) == 0
        assert reactorsWork(reactor) == before
    assert json.loads(child.lines[-1]) == {
        "reasons": {"SessionLost": STREAMS},
        "left": {},
        "work": [],
        "errors": [],
    }


class _Middle(Protocol):
    """
    One side of a connection that is passed on, until it is silenced.
    """

    transport: Any
    other: _Middle | None = None

    def connectionMade(self) -> None:
        self._early: list[bytes] = []
        cast("_Network", self.factory).sides.append(self)

    def join(self, other: _Middle) -> None:
        """
        Pass on to that one, and what has come already.
        """
        self.other = other
        other.transport.writeSequence(self._early)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.other is not None:
            self.other.transport.abortConnection()
        self.other = None


class _Network(Factory):
    """
    What lies between two machines, and passes nothing on from some moment.
    """

    noisy = False
    protocol = _Middle

    def __init__(self) -> None:
        self.sides: list[_Middle] = []

    async def between(self, target: int) -> Any:
        """
        @return: a port; who dials it gets to the target.
        """
        dialler = TCP4ClientEndpoint(reactor, LOOPBACK, target)
        network = self

        class Incoming(_Middle):
            def connectionMade(self) -> None:
                super().connectionMade()
                dialler.connect(network).addCallback(self.dialled)

            def dialled(self, other: Any) -> None:
                self.join(other)
                other.join(self)

        self.protocol = _Middle
        incoming = Factory.forProtocol(Incoming)
        incoming.noisy = False
        cast(Any, incoming).sides = self.sides
        endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
        return await endpoint.listen(incoming)

    def silence(self) -> None:
        """
        From now on nothing gets through, and no end either.
        """
        for side in self.sides:
            side.other = None
            side.transport.pauseProducing()

    def end(self) -> None:
        """
        Both connections were left open until now.
        """
        for side in self.sides:
            side.transport.abortConnection()


async def _vanish(wire: str) -> None:
    config = MuxConfig(keepAlive=0.3, keepAliveTimeout=0.7)
    ours, theirs = Movers(20), Movers(20)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
    port: Any = await endpoint.listen(theirs.factory(wire, "server", config))
    network = _Network()
    between = await network.between(port.getHost().port)
    number = between.getHost().port
    dialler = TCP4ClientEndpoint(reactor, LOOPBACK, number)
    await dialler.connect(ours.factory(wire, "client", config))
    await gatherResults([ours.moving, theirs.moving])
    network.silence()
    began = reactor.seconds()
    await gatherResults([ours.lost, theirs.lost])
    seconds = reactor.seconds() - began
    # The bounds are for machines that have other things to do.
    assert 0.2 < seconds < 20
    await deferLater(reactor, 0, lambda: None)
    network.end()
    await gatherResults([port.stopListening(), between.stopListening()])
    for movers in (ours, theirs):
        while not movers.results:
            await deferLater(reactor, 0.05, lambda: None)
        movers.check("SessionLost")
        [failure] = movers.results
        assert failure.check(PeerTimeout)
        for mover in movers.all:
            text = str(mover.losses[0].value)
            assert "nothing came from the peer for" in text
    await deferLater(reactor, 0, lambda: None)


@onReactor
async def test_vanished(wire: str) -> None:
    """
    Somebody in between has forgotten the connection: no data comes, no end and no
    reset.  Both sides find out by their keep-alive, in the time that they have for
    it, and nothing is left.
    """
    await deferLater(reactor, 0, lambda: None)
    before = reactorsWork(reactor)
    with leavingNothing():
        await _vanish(wire)
        assert reactorsWork(reactor) == before
