"""
Real peers in other languages: how to build them, start them and talk to them.

Each is one program (C{go/}, C{rust/}) that runs one session of one
implementation.  It takes JSON commands on standard input and writes JSON
events and replies to standard output, one a line; C{README.md} lists them.

A stream begins with one line of text, its I{service}, written by whoever opened
it, and either side may open: so this protocol is the same in both directions,
and our side of it needs L{noise} and L{sumLine} only.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "interop"

Message = dict[str, Any]


@dataclass(frozen=True)
class Toolchain:
    """
    How programs of one language are built.

    @ivar command: the program that has to be there.
    @ivar advice: what to install where it is not.
    """

    language: str
    command: str
    advice: str


GO = Toolchain("go", "go", "Go 1.24 or newer")
RUST = Toolchain("rust", "cargo", "Rust 1.90 or newer with cargo")
TOOLCHAINS = {each.language: each for each in (GO, RUST)}


@dataclass(frozen=True)
class Implementation:
    """
    One implementation of a wire protocol.

    @ivar package: its name where it is published.
    @ivar argument: its name on the peer's command line.
    @ivar wires: our names of the wires that it speaks, with the options that it
        gets for each, unless a test says otherwise.
    """

    package: str
    toolchain: Toolchain
    argument: str
    wires: dict[str, dict[str, int]] = field(hash=False)

    def __str__(self) -> str:
        return self.package


IMPLEMENTATIONS = {
    "go-smux": Implementation(
        "github.com/xtaci/smux",
        GO,
        "smux",
        {"smux1": {"version": 1}, "smux2": {"version": 2}},
    ),
    "hashicorp-yamux": Implementation(
        "github.com/hashicorp/yamux", GO, "hashicorp", {"yamux": {}}
    ),
    "go-yamux": Implementation(
        "github.com/libp2p/go-yamux/v5", GO, "go-yamux", {"yamux": {}}
    ),
    # It resets streams whose readers take nothing for 5 s, which is not long for two
    # processes beside others on one core.
    "go-mplex": Implementation(
        "github.com/libp2p/go-mplex",
        GO,
        "mplex",
        {"mplex": {"receive_timeout": 20_000}},
    ),
    "net-mux": Implementation("net-mux", RUST, "net-mux", {"netmux": {}}),
    "vt-muxer": Implementation("vt-muxer", RUST, "vt-muxer", {"vtmux": {}}),
    "rust-smux": Implementation(
        "smux", RUST, "smux", {"smux1": {"version": 1}, "smux2": {"version": 2}}
    ),
    "rust-yamux": Implementation("yamux", RUST, "yamux", {"yamux": {}}),
}


class ToolchainMissing(Exception):
    """
    A program to build the peers with is not installed.
    """


class BuildFailed(Exception):
    """
    The toolchain is there and could not build the peer; the text says why.
    """


def missingToolchains() -> list[str]:
    """
    What to install before all peers can be built: nothing if the list is empty.
    """
    return [
        each.advice for each in TOOLCHAINS.values() if not shutil.which(each.command)
    ]


def whyNot(toolchain: Toolchain) -> str | None:
    """
    The reason, in one line, to skip a test that needs a toolchain; C{None} if
    there is none.

    @raise ToolchainMissing: it is missing, and the environment variable C{CI}
        says that nothing may be.
    """
    if shutil.which(toolchain.command):
        return None
    reason = f"no {toolchain.command!r} in PATH: install {toolchain.advice}"
    if os.environ.get("CI"):
        raise ToolchainMissing(reason)
    return reason


def _fingerprint(toolchain: Toolchain) -> str:
    """
    What a binary depends on: its sources and the toolchain.
    """
    argument = "version" if toolchain is GO else "--version"
    version = subprocess.run(
        [toolchain.command, argument], capture_output=True, check=True
    )
    digest = hashlib.sha256(version.stdout)
    folder = HERE / toolchain.language
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "target" not in path.relative_to(folder).parts:
            digest.update(f"\n{path.relative_to(folder)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Only one process at a time is inside, for one C{path}.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def build(toolchain: Toolchain) -> Path:
    """
    The peer's binary: the one of an earlier run if nothing has changed since.
    Blocks while it builds, up to a few minutes.

    @raise BuildFailed: with what the toolchain said.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    # The whole folder is no concern of version control.
    (CACHE.parent / ".gitignore").write_text("*\n")
    binary = CACHE / f"{toolchain.language}-peer-{_fingerprint(toolchain)}"
    with locked(CACHE / f"{toolchain.language}.lock"):
        if not binary.exists():
            built = _compile(toolchain)
            for old in CACHE.glob(f"{toolchain.language}-peer-*"):
                old.unlink()
            # Not there until it is whole.
            partial = binary.with_name(f"{toolchain.language}-partial")
            shutil.copy2(built, partial)
            partial.rename(binary)
    return binary


def _compile(toolchain: Toolchain) -> Path:
    environment = dict(os.environ)
    if toolchain is GO:
        built = CACHE / "go-built"
        command = ["go", "build", "-trimpath", "-mod=readonly", "-o", str(built), "."]
    else:
        target = CACHE / "rust-target"
        built = target / "release" / "interop-peer"
        command = ["cargo", "build", "--release", "--locked"]
        environment["CARGO_TARGET_DIR"] = str(target)
    done = subprocess.run(
        command,
        cwd=HERE / toolchain.language,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"{' '.join(command)}:\n{done.stdout}")
    return built


def arguments(
    implementation: Implementation, mode: str, address: str, **options: int
) -> list[str]:
    """
    The command line of a peer, built if need be.
    """
    pairs = [f"{name}={value}" for name, value in options.items()]
    binary = str(build(implementation.toolchain))
    return [binary, implementation.argument, mode, address, *pairs]


def noise(size: int, seed: int) -> bytes:
    """
    The C{size} pseudo-random bytes that the peers send for C{seed}.
    """
    return hashlib.shake_128(str(seed).encode()).digest(size)


def sumLine(data: bytes) -> bytes:
    """
    What the services C{sink}, C{take} and C{hold} answer to C{data}.
    """
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode()


class CommandFailed(Exception):
    """
    A peer replied that a command did not work out.

    @ivar reply: all of its reply; C{kind} in it sorts the errors.
    """

    def __init__(self, reply: Message) -> None:
        super().__init__(f"{reply.get('kind')}: {reply.get('error')}")
        self.reply = reply

    @property
    def unsupported(self) -> bool:
        """
        Has the peer's public API no means for it?
        """
        return bool(self.reply.get("unsupported"))


class PeerEnded(Exception):
    """
    The peer's process ended while something was awaited of it.
    """


class Peer(ProcessProtocol):
    """
    A running peer.

    @ivar events: what it reported so far, oldest first.
    @ivar log: what it wrote to standard error, for failures.
    @ivar ended: fires with C{None} when its process has ended, however.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[Message] = []
        self.log = b""
        self.ended: Deferred[None] = Deferred()
        self._line = b""
        self._number = 0
        self._replies: dict[int, Deferred[Message]] = {}
        self._waiting: list[tuple[Callable[[Message], bool], Deferred[Message]]] = []
        self._gone = False

    def __repr__(self) -> str:
        return f"<Peer {self.name}>"

    @classmethod
    def spawn(
        cls,
        reactor: IReactorProcess,
        implementation: Implementation,
        mode: str,
        address: str = "127.0.0.1:0",
        **options: int,
    ) -> Peer:
        """
        Start one.

        @param mode: C{"dial"} the address, or C{"listen"} on it: then wait for
            L{port}.
        @param options: the implementation's configuration; times are in
            milliseconds, and an unknown name ends the peer at once.
        """
        command = arguments(implementation, mode, address, **options)
        self = cls(f"{implementation.package} {mode}")
        reactor.spawnProcess(self, command[0].encode(), command, env=None)
        return self

    def outReceived(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._received(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        self.log = (self.log + data)[-100_000:]

    def _received(self, message: Message) -> None:
        if "id" in message:
            reply = self._replies.pop(message["id"])
            if message["ok"]:
                reply.callback(message)
            else:
                reply.errback(CommandFailed(message))
            return
        self.events.append(message)
        for entry in list(self._waiting):
            wanted, answer = entry
            if wanted(message):
                self._waiting.remove(entry)
                answer.callback(message)

    def processEnded(self, reason: Failure) -> None:
        self._gone = True
        reason.trap(ProcessDone, ProcessTerminated)
        waiting = [*self._replies.values(), *(answer for _, answer in self._waiting)]
        self._replies, self._waiting = {}, []
        for each in waiting:
            each.errback(PeerEnded(f"{self.name}: {reason.getErrorMessage()}"))
        self.ended.callback(None)

    def command(self, cmd: str, **fields: object) -> Deferred[Message]:
        """
        Have it do something.

        @return: fires with its reply, or fails with L{CommandFailed} or
            L{PeerEnded}.  The peer itself gives up after C{timeout} seconds
            (120 unless given) with a reply of the kind C{"timeout"}.
        """
        answer: Deferred[Message] = Deferred()
        if self._gone or self.transport is None:
            answer.errback(PeerEnded(self.name))
            return answer
        self._number += 1
        self._replies[self._number] = answer
        line = json.dumps({"id": self._number, "cmd": cmd, **fields})
        self.transport.write(line.encode() + b"\n")
        return answer

    def waitFor(self, event: str, **fields: object) -> Deferred[Message]:
        """
        The first event of a name, now or later, with these fields.  One that
        was reported before counts.
        """

        def wanted(message: Message) -> bool:
            return message.get("event") == event and all(
                message.get(name) == value for name, value in fields.items()
            )

        answer: Deferred[Message] = Deferred()
        for message in self.events:
            if wanted(message):
                answer.callback(message)
                return answer
        if self._gone:
            answer.errback(PeerEnded(f"{self.name}: no {event!r}"))
        else:
            self._waiting.append((wanted, answer))
        return answer

    def port(self) -> Deferred[int]:
        """
        The port that it listens on.
        """
        return self.waitFor("listening").addCallback(lambda event: int(event["port"]))

    def ready(self) -> Deferred[Message]:
        """
        The event that the session stands; it says the implementation's
        C{version}.
        """
        return self.waitFor("ready")

    def kill(self) -> Deferred[None]:
        """
        End its process at once; its kernel then closes the carrier.

        @return: fires when it is gone, also if it was before.
        """
        answer: Deferred[None] = Deferred()
        if self._gone:
            answer.callback(None)
            return answer

        def gone(result: None) -> None:
            answer.callback(result)

        self.ended.addCallback(gone)
        if self.transport is not None:
            self.transport.signalProcess("KILL")
        return answer
