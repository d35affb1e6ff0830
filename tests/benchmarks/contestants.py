"""
Who is compared: implementations, each with the wires that it speaks and the program
that runs either side of it.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.building import goPackages, goProgram
from tests.benchmarks.job import ALONE
from tests.interop.peers import GO
from twisted_mux.wire import wireNames

#: In the place of a wire's name: there is no mux, but one connection for each
#: stream.
TCP = "tcp"
#: The peer that all others are measured by.
YARDSTICK = "twisted"
#: What all of this is about.
OURS = "twisted_mux"


@dataclass(frozen=True)
class Peer:
    """
    An implementation.

    @ivar wires: our names of the wires that it speaks.
    @ivar kinds: the jobs that it can do.
    @ivar command: what starts its program.
    @ivar missing: why it can't take part here, in one line; C{None} if it can.
    @ivar pinsLatency: can it be bound to one core where round trips are timed?
    @ivar version: which one it is.
    """

    name: str
    wires: Sequence[str]
    kinds: Sequence[str]
    command: Callable[[], Sequence[str]]
    missing: Callable[[], str | None]
    version: Callable[[], str]
    pinsLatency: bool = True


#: The kinds of jobs that take two processes.
PAIRED = ("bulk", "echo", "churn", "memory")


def _here() -> None:
    return None


def worker(name: str) -> Sequence[str]:
    """
    What starts a program in Python.
    """
    return [sys.executable, "-m", f"tests.benchmarks.workers.{name}"]


def _module(name: str) -> Callable[[], Sequence[str]]:
    return lambda: worker(name)


def _twistedVersion() -> str:
    from twisted import __version__

    return f"Twisted {__version__}"


def _ourVersion() -> str:
    from twisted_mux._version import __version__

    return f"twisted_mux {__version__}"


def _pythonVersion() -> str:
    return f"{sys.implementation.name} {platform.python_version()}"


def _go() -> str | None:
    return None if shutil.which(GO.command) else f"no go: install {GO.advice}"


def _goPeer(name: str, package: str, wires: Sequence[str]) -> Peer:
    return Peer(
        name,
        wires,
        PAIRED,
        lambda: [str(goProgram())],
        _go,
        lambda: f"{package} {goPackages()[package]}",
        # Its scheduler preempts after 10 ms, which on one core is what is timed.
        pinsLatency=False,
    )


#: All of them, by name.
PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            YARDSTICK, (TCP,), PAIRED, _module("twisted_worker"), _here, _twistedVersion
        ),
        Peer(
            OURS,
            wireNames(),
            (*PAIRED, *ALONE),
            _module("twisted_worker"),
            _here,
            _ourVersion,
        ),
        Peer(
            "asyncio",
            (TCP,),
            ("bulk", "echo", "churn"),
            _module("asyncio_worker"),
            _here,
            _pythonVersion,
        ),
        _goPeer("go-smux", "github.com/xtaci/smux", ("smux1", "smux2")),
        _goPeer("go-yamux", "github.com/hashicorp/yamux", ("yamux",)),
    )
}


@dataclass(frozen=True)
class Contestant:
    """
    A peer on one wire.
    """

    peer: Peer
    wire: str

    @property
    def name(self) -> str:
        """
        How tables and files call it.
        """
        return self.peer.name if self.wire == TCP else f"{self.peer.name} {self.wire}"


def contestants(
    peers: Sequence[str] = (), wires: Sequence[str] = ()
) -> tuple[list[Contestant], list[str]]:
    """
    Those that were asked for, all if nobody was; the yardstick comes first and
    always.

    @return: those that can take part, and a line on each peer that can't.
    """
    found, absent = [], []
    for peer in PEERS.values():
        if peers and peer.name not in peers and peer.name != YARDSTICK:
            continue
        if wires and not {TCP, *wires} & set(peer.wires):
            continue
        missing = peer.missing()
        if missing is not None:
            absent.append(f"{peer.name} is left out: {missing}")
            continue
        found += [
            Contestant(peer, wire)
            for wire in peer.wires
            if wire == TCP or not wires or wire in wires
        ]
    return found, absent
