"""
Who is compared: implementations, each with the wires that it speaks and the program
that runs either side of it.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec

from tests.benchmarks.building import goPackages, goProgram
from tests.benchmarks.job import SSH, TCP, Job, sshd
from tests.interop.peers import GO
from twisted_mux.compiling import versionAndBuild
from twisted_mux.wire import wireNames

#: In the place of a wire's name: none of ours, whatever C{--wire} says.
FOREIGN = (TCP, SSH)
#: The peer that all others are measured by.
YARDSTICK = "twisted"
#: What all of this is about,
OURS = "twisted_mux"
#: and the same as a program, for comparison with other tunnels.
TWIST = "twist-mux"


@dataclass(frozen=True)
class Peer:
    """
    An implementation.

    @ivar wires: our names of the wires that it speaks; C{"tcp"} or C{"ssh"}, if it
        is none of ours.
    @ivar command: what starts its program.
    @ivar missing: why it can't take part here, in one line; C{None} if it can.
    @ivar version: which one it is.
    @ivar cannot: the kinds of jobs of two processes that it can't do, and why.
    @ivar alone: can it do those of one process, too?
    @ivar pinsLatency: can it be bound to one core where round trips are timed?
    @ivar tunnel: is it a program of its own, that carries others' connections?
    """

    name: str
    wires: Sequence[str]
    command: Callable[[], Sequence[str]]
    missing: Callable[[], str | None]
    version: Callable[[], str]
    cannot: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    pinsLatency: bool = True
    tunnel: bool = False

    def takes(self, job: Job) -> bool:
        """
        Can it do such a job?
        """
        return self.alone if job.alone else job.kind not in self.cannot


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


def _ourVersion() -> str:
    return f"twisted_mux {versionAndBuild()}"


def _pythonVersion() -> str:
    return f"{sys.implementation.name} {platform.python_version()}"


def _go() -> str | None:
    return None if shutil.which(GO.command) else f"no go: install {GO.advice}"


def _goPeer(name: str, package: str, wires: Sequence[str]) -> Peer:
    return Peer(
        name,
        wires,
        lambda: [str(goProgram())],
        _go,
        lambda: f"{package} {goPackages()[package]}",
        # Its scheduler preempts after 10 ms, which on one core is what is timed.
        pinsLatency=False,
    )


def _openssh() -> str | None:
    for program in ("ssh", "ssh-keygen"):
        if not shutil.which(program):
            return f"no {program}: install openssh-client"
    return None if sshd() else "no sshd: install openssh-server"


def _opensshVersion() -> str:
    done = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True)
    return done.stderr.split(",")[0].strip()


def _installed(module: str, advice: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(module) else f"not installed: {advice}"


def _distribution(name: str) -> Callable[[], str]:
    return lambda: f"{name} {metadata.version(name)}"


_TWISTED = _distribution("Twisted")
_PROCESS = "the tunnel's two ends are processes beside the one that is weighed"

#: All of them, by name.
PEERS = {
    peer.name: peer
    for peer in (
        Peer(YARDSTICK, (TCP,), _module("twisted_worker"), _here, _TWISTED),
        Peer(
            OURS,
            wireNames(),
            _module("twisted_worker"),
            _here,
            _ourVersion,
            alone=True,
        ),
        Peer(
            "asyncio",
            (TCP,),
            _module("asyncio_worker"),
            _here,
            _pythonVersion,
            {"memory": "connections of the kernel's, for which bare Twisted stands"},
        ),
        _goPeer("go-smux", "github.com/xtaci/smux", ("smux1", "smux2")),
        _goPeer("go-yamux", "github.com/hashicorp/yamux", ("yamux",)),
        Peer(
            "py-libp2p",
            ("yamux", "mplex"),
            _module("libp2p_worker"),
            _installed("libp2p", "pip install -e '.[bench]'"),
            _distribution("libp2p"),
            {"memory": "it opens no more than 256 streams on yamux"},
        ),
        Peer(
            "conch",
            (SSH,),
            _module("conch_worker"),
            _installed("cryptography", "pip install 'Twisted[conch]'"),
            _TWISTED,
        ),
        Peer(
            "openssh",
            (SSH,),
            _module("tunnel_worker"),
            _openssh,
            _opensshVersion,
            {"memory": _PROCESS},
            tunnel=True,
        ),
        Peer(
            TWIST,
            ("yamux",),
            _module("tunnel_worker"),
            _here,
            _ourVersion,
            {"memory": _PROCESS},
            tunnel=True,
        ),
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
        return (
            self.peer.name if self.wire in FOREIGN else f"{self.peer.name} {self.wire}"
        )


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
        if wires and not {*FOREIGN, *wires} & set(peer.wires):
            continue
        missing = peer.missing()
        if missing is not None:
            absent.append(f"{peer.name} is left out: {missing}")
            continue
        found += [
            Contestant(peer, wire)
            for wire in peer.wires
            if wire in FOREIGN or not wires or wire in wires
        ]
    return found, absent
