"""
Real sockets, all wires, and faults: two processes with carriers between them in both
directions, on which both open streams at random.

This process, which is the one that is measured, lives for as long as the soak takes;
the other (L{tests.soak.far}) is killed now and then, or stopped for a while.  Besides,
carriers are aborted, drained, and cut under the session's feet.  Each stream is
checked by hash (L{tests.soak.traffic}); no byte may be missing of a direction that
has ended, no stream may be left behind, and no memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import twisted
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from tests.faults.leftovers import objectsLeft, reactorsWork
from tests.soak.traffic import EVERY, Party, Side, Tally
from tests.soak.tunnels import PATIENCE, Problems, Tunnels
from twisted_mux._version import __version__ as muxVersion

_ROOT = Path(__file__).parents[2]
# Faults of carriers in a second, and seconds between those of the other process.
_FAULTS = 2.0
_LIFETIME = 25.0
_STOPS = 10.0
# Which part of the time is warm-up, and what RSS may be more afterwards: as a
# factor, and in KiB for what a run's last minutes differ in anyway.
_WARM = 0.3
_GROWTH = 1.05
_SLACK = 4096
# Runs shorter than this, in seconds, are not long enough to say anything of RSS.
_TELLING = 120


class _Far(ProcessProtocol):
    """
    The other process, as long as it lives.
    """

    def __init__(self, message: Callable[[dict[str, Any]], None]) -> None:
        self._message = message
        self._rest = b""
        self.errors = b""
        self.expected = False
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._message(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)
        if reason.check(ProcessTerminated) and not self.expected:
            self.errors += str(reason.value).encode()


class Soak:
    """
    One run.

    @ivar side: our streams.
    @ivar far: what became of those of the other process.
    @ivar faults: how many there were, by kind.
    """

    def __init__(self, reactor: Any, wires: list[str], seconds: float) -> None:
        self._reactor = reactor
        self._wires = wires
        self._seconds = seconds
        self._problems = Problems()
        seed = int(time.time())
        print(f"seed {seed}", flush=True)
        self.side = Side(reactor, seed)
        self._random = self.side.random
        self.far: dict[str, Tally] = {}
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self._tunnels = Tunnels(reactor, self.side, wires)
        self._process: Any = None
        self._protocol: Any = None
        self._ports: Deferred[dict[str, int]] = Deferred()
        self._memory: list[int] = []
        self._left: dict[str, int] | None = None

    # The other process.

    def _start(self) -> Deferred[dict[str, int]]:
        self._ports = Deferred()
        self._protocol = _Far(self._message)
        told = {
            "wires": self._wires,
            "ports": self._tunnels.ports,
            "seed": self._random.getrandbits(32),
        }
        self._process = self._reactor.spawnProcess(
            self._protocol,
            sys.executable,
            [sys.executable, "-m", "tests.soak.far", json.dumps(told)],
            {**os.environ, "PYTHONPATH": str(_ROOT)},
            path=str(_ROOT),
        )
        return self._ports

    def _message(self, message: dict[str, Any]) -> None:
        if "ports" in message:
            self._ports.callback(message["ports"])
        elif "left" in message:
            self._left = message["left"]
        else:
            for wire, (counts, violations) in message["tallies"].items():
                tally = self.far.setdefault(wire, Tally())
                tally.add(Tally(Counter(counts), violations))

    def _noteEnd(self) -> None:
        if self._protocol.errors:
            text = self._protocol.errors.decode(errors="replace")
            self.violations.append(f"the other process said: {text}")

    async def _kill(self) -> None:
        self._protocol.expected = True
        for peer in self._tunnels.peers.values():
            peer.port = 0
        self._process.signalProcess("KILL")
        await self._protocol.ended
        self._noteEnd()
        ports = await self._start()
        for wire, port in ports.items():
            self._tunnels.peers[wire].port = port
        self.faults["peer killed"] += 1

    async def _stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)
        await self._pause(self._random.uniform(0.2, 1.5))
        os.kill(self._process.pid, signal.SIGCONT)
        self.faults["peer stopped for a while"] += 1

    # Carriers.

    def _abort(self, session: Any) -> None:
        session.abort()
        self.faults["carrier aborted"] += 1

    def _drain(self, session: Any) -> None:
        session.close().addErrback(lambda _: None)
        self.faults["carrier drained"] += 1

    def _cut(self, session: Any) -> None:
        handle: socket.socket = session.transport.getHandle()
        handle.shutdown(socket.SHUT_RDWR)
        self.faults["carrier cut"] += 1

    # The run.

    def _pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)

    async def _disturb(self) -> None:
        began = self._reactor.seconds()
        lifetime = min(_LIFETIME, self._seconds / 3)
        stops = min(_STOPS, self._seconds / 4)
        nextKill, nextStop = began + lifetime, began + stops
        while (now := self._reactor.seconds()) < began + self._seconds:
            await self._pause(self._random.expovariate(_FAULTS))
            sessions = [each for each in self._tunnels.sessions if not each.over]
            if sessions:
                fault = self._random.choice((self._abort, self._drain, self._cut))
                fault(self._random.choice(sessions))
            if now > nextStop:
                nextStop = now + stops
                await self._stop()
            if now > nextKill:
                nextKill = now + lifetime
                await self._kill()

    def _sample(self) -> None:
        self.side.checkAge(PATIENCE)
        self._memory.append(_rss())

    async def run(self) -> None:
        """
        All of it.
        """
        samples = LoopingCall(self._sample)
        samples.clock = self._reactor
        await self._tunnels.listen()
        await self._tunnels.dial(await self._start())
        samples.start(min(1, self._seconds / 50))
        try:
            await self._disturb()
        finally:
            samples.stop()
        # Both at once: neither ends before the streams that the other opened.
        self._process.write(b"stop\n")
        closing = Deferred.fromCoroutine(self._tunnels.close())
        try:
            await closing.addTimeout(PATIENCE, self._reactor)
            await self._protocol.ended.addTimeout(PATIENCE, self._reactor)
        except BaseException as error:
            self.violations.append(f"it did not come to an end: {error!r}")
        self._noteEnd()
        self._checkLeft()

    def _checkLeft(self) -> None:
        for who, left in (
            ("this process", objectsLeft(Party)),
            ("the other process", self._left),
        ):
            if left != {}:
                self.violations.append(f"{who} has left: {left}")
        work = reactorsWork(self._reactor)
        if work:
            self.violations.append(f"the reactor has left: {work}")

    # What came of it.

    def result(self) -> dict[str, Any]:
        """
        The figures.
        """
        tallies = self.side.takeTallies()
        tallies[EVERY] = self._problems.take()
        both = {wire: Tally() for wire in (*self._wires, EVERY)}
        for each in (tallies, self.far):
            for wire, tally in each.items():
                both[wire].add(tally)
        begin, end, isFlat = flat(self._memory)
        telling = self._seconds >= _TELLING
        violations = [*self.violations]
        for tally in both.values():
            violations += tally.violations
        if telling and not isFlat:
            violations.append(f"RSS grew from {begin} KiB to {end} KiB")
        return {
            "date": time.strftime("%Y-%m-%d"),
            "seconds": round(self._seconds),
            "versions": {
                "twisted_mux": muxVersion,
                "Twisted": twisted.__version__,
                "Python": platform.python_version(),
                "on": f"{platform.system()} {platform.machine()}",
            },
            "faults": dict(sorted(self.faults.items())),
            "wires": {
                wire: dict(sorted(tally.counts.items())) for wire, tally in both.items()
            },
            "warmUp": _WARM,
            "memory": {"warm": begin, "end": end, "peak": max(self._memory)},
            "samples": self._memory[:: max(1, len(self._memory) // 60)],
            "violations": violations,
        }


def flat(samples: list[int]) -> tuple[int, int, bool]:
    """
    Did memory stay the same?

    @return: how much it was after the warm-up, and at the end, and whether the
        latter is no more than the former, within reason.
    """
    warm = samples[int(len(samples) * _WARM) :]
    tenth = max(1, len(samples) // 10)
    begin = int(statistics.median(warm[:tenth]))
    end = int(statistics.median(warm[-tenth:]))
    return begin, end, end <= begin * _GROWTH + _SLACK


def _rss() -> int:
    """
    The resident memory of this process, in KiB.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() // 1024
    # The most that there ever was is all that can be had elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def addArguments(parser: argparse._ArgumentGroup) -> None:
    """
    Our own options.
    """
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(options: Any) -> bool:
    """
    Run for the time asked for.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    soak = Soak(reactor, options.wires, options.minutes * 60)
    failed: list[Failure] = []

    def start() -> None:
        done = Deferred.fromCoroutine(soak.run())
        done.addErrback(failed.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()
    for failure in failed:
        failure.printTraceback()
    result = soak.result()
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return not failed and not result["violations"]
