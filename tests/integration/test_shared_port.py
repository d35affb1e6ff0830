"""
Several processes with the same port, which they were given as systemd does it: one of
them is killed, and nobody who comes afterwards notices.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.programs import (
    PATIENCE,
    Program,
    Programs,
    curl,
    environment,
    webServer,
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

# What systemd does before it starts a service with sockets.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid())})
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """
    A web server with a file: its port.
    """
    folder = tmp_path_factory.mktemp("served")
    (folder / "small").write_bytes(b"small\n")
    with webServer(folder) as port:
        yield port


def listening(port: int, reuse: bool) -> socket.socket:
    """
    A socket as systemd opens it, with C{ReusePort=yes} or without.
    """
    return socket.create_server(("127.0.0.1", port), reuse_port=reuse)


def started(programs: Programs, given: socket.socket, web: int) -> Program:
    """
    C{twist mux} with that socket.
    """
    program = programs.start(
        *(sys.executable, "-c", AS_SYSTEMD, str(given.fileno())),
        *(sys.executable, "-m", "twisted", "mux", "--log-format", "json"),
        *("--from", "systemd:domain=INET:name=web"),
        *("--to", f"tcp:127.0.0.1:{web}", "--status", "tcp:0"),
        env=environment(LISTEN_FDS="1", LISTEN_FDNAMES="web"),
        pass_fds=[given.fileno()],
    )
    program.saw("connections at")
    return program


def totals(least: int, *programs: Program) -> list[int]:
    """
    How many connections each has had, once they are so many together.
    """
    counts: list[int] = []
    for _ in range(PATIENCE * 20):
        counts = []
        for program in programs:
            address = program.field("address", "status page at")
            port = int(address.rpartition(":")[2])
            status = json.loads(curl(port, "status.json"))
            counts.append(status["tunnels"][0]["total"])
        if sum(counts) >= least:
            return counts
    raise AssertionError(f"{counts} are not {least}")


def several(port: int, count: int) -> None:
    """
    Connect so many times; each time it works.
    """
    for _ in range(count):
        assert curl(port, "small") == b"small\n"


@pytest.mark.skipif(os.name != "posix", reason="as systemd does it")
def test_sameSocket(programs: Programs, web: int) -> None:
    """
    Two processes accept on the same socket.
    """
    with listening(0, False) as given:
        port = given.getsockname()[1]
        one, two = (started(programs, given, web) for _ in range(2))
    several(port, 20)
    assert sum(totals(20, one, two)) == 20
    one.kill()
    several(port, 20)
    assert totals(20, two)[0] <= 40
    assert two.terminate() == 0


@pytest.mark.skipif(
    not hasattr(socket, "SO_REUSEPORT"), reason="the platform has no SO_REUSEPORT"
)
def test_reusePort(programs: Programs, web: int) -> None:
    """
    Each has a socket of its own, for the same port, and the kernel chooses.
    """
    with ExitStack() as stack:
        first = stack.enter_context(listening(0, True))
        port = first.getsockname()[1]
        second = stack.enter_context(listening(port, True))
        one, two = (started(programs, given, web) for given in (first, second))
    several(port, 40)
    counts = totals(40, one, two)
    assert sum(counts) == 40
    assert min(counts) > 0
    one.kill()
    several(port, 20)
    assert two.terminate() == 0
