"""
C{twist mux}, the real thing: processes in pairs, with curl on one side and a web
server that knows nothing of it on the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.programs import (
    PATIENCE,
    ROOT,
    Program,
    Programs,
    curl,
    environment,
    freePort,
    webServer,
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

SIZE = 8 * 1024 * 1024
# A port at which hundreds connect in the same moment: with Twisted's backlog of 50
# the kernel may reset some of them before anybody has seen them.
BUSY = "tcp:0:backlog=512"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """
    A web server with a large file: its port, and the file's hash.
    """
    folder = tmp_path_factory.mktemp("served")
    content = os.urandom(SIZE)
    (folder / "large").write_bytes(content)
    (folder / "small").write_bytes(b"small\n")
    with webServer(folder) as port:
        yield port, hashlib.sha256(content).hexdigest()


def forward(programs: Programs, target: str, options: str = "") -> tuple[Program, ...]:
    """
    Two processes: one listens for connections, the other serves them.
    """
    serve = programs.tunnel(f"mux:tcp:0{options}", target)
    dial = programs.tunnel(BUSY, f"mux:tcp:127.0.0.1:{serve.port}{options}")
    return dial, serve


def reverse(programs: Programs, target: str) -> tuple[Program, ...]:
    """
    Two processes: one listens for connections and for the other, which serves.
    """
    publish = programs.tunnel(BUSY, "mux-listen:tcp:0")
    carrierPort = publish.carrierPort
    expose = programs.tunnel(f"mux-dial:tcp:127.0.0.1:{carrierPort}", target)
    return publish, expose


@pytest.mark.parametrize("wire", ["yamux", "smux2"])
def test_forward(wire: str, programs: Programs, web: tuple[int, str]) -> None:
    """
    A file comes through a forward tunnel as it is, several times over one carrier;
    both processes then end in good order.
    """
    port, expected = web
    pair = forward(programs, f"tcp:127.0.0.1:{port}", f":wire={wire}")
    for _ in range(2):
        content = curl(pair[0].port, "large")
        assert hashlib.sha256(content).hexdigest() == expected
    assert [program.terminate() for program in pair] == [0, 0]
    for program in pair:
        assert len(program.saw("carrier up")) == 1
        assert len(program.saw("carrier down")) == 1


README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "block",
    [
        block
        for block in re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.M)
        if "twist mux" in block
    ],
)
def test_readme(block: str, programs: Programs, web: tuple[int, str]) -> None:
    """
    README's tunnels, with other ports.
    """
    ports = {port: str(freePort()) for port in re.findall(r"\b[78]\d\d\d\b", block)}
    ports["8000"] = str(web[0])
    for old, new in ports.items():
        block = block.replace(old, new)
    *tunnels, command = [line.removeprefix("$ ") for line in block.splitlines()]
    for line in tunnels:
        program = programs.mux(*shlex.split(line)[2:])
        program.saw("connections at")
    done = subprocess.run(
        [*shlex.split(command), "--silent", "--fail"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "large" in done.stdout


def test_reverse(programs: Programs, web: tuple[int, str]) -> None:
    """
    A file comes through a reverse tunnel as it is.
    """
    port, expected = web
    pair = reverse(programs, f"tcp:127.0.0.1:{port}")
    content = curl(pair[0].port, "large")
    assert hashlib.sha256(content).hexdigest() == expected
    assert [program.terminate() for program in pair] == [0, 0]


def test_severalOnOneCarrier(
    programs: Programs, web: tuple[int, str], tmp_path: Path
) -> None:
    """
    Tunnels with different names share one carrier, and each leads to its own
    target.
    """
    port, expected = web
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("from the other one")
    with webServer(tmp_path / "other") as other:
        serve = programs.mux(
            *("--from", "mux:tcp:0:muxProtocol=web"),
            *("--to", f"tcp:127.0.0.1:{port}"),
            *("--from", "mux:tcp:0:muxProtocol=other"),
            *("--to", f"tcp:127.0.0.1:{other}"),
        )
        serve.saw("connections at", 2)
        carrier = f"mux:tcp:127.0.0.1:{serve.port}"
        dial = programs.mux(
            *("--from", "tcp:0", "--to", f"{carrier}:muxProtocol=web"),
            *("--from", "tcp:0", "--to", f"{carrier}:muxProtocol=other"),
            *("--from", "tcp:0", "--to", f"{carrier}:muxProtocol=neither"),
        )
        ports = [
            int(json.loads(line)["address"].rpartition(":")[2])
            for line in dial.saw("connections at", 3)
        ]
        assert hashlib.sha256(curl(ports[0], "large")).hexdigest() == expected
        assert curl(ports[1], "file") == b"from the other one"
        with pytest.raises(subprocess.CalledProcessError):
            curl(ports[2], "file")
        dial.saw("neither")
        assert [program.terminate() for program in (dial, serve)] == [0, 0]
        assert len(serve.saw("carrier up")) == 1


async def _echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _roundTrip(port: int, number: int) -> bool:
    """
    Send something, end, and read until the other end: is it the same?
    """
    content = bytes([number % 256]) * (20_000 + number * 100)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    writer.write_eof()
    received = await asyncio.wait_for(reader.read(-1), PATIENCE)
    writer.close()
    return received == content


async def _bulk(port: int, number: int, size: int) -> bool:
    """
    Send noise, end, and read meanwhile: is it the same, by hash?
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    noise = random.Random(number).randbytes(65536)
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        for start in range(0, size, len(noise)):
            chunk = noise[: size - start]
            sent.update(chunk)
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    while data := await reader.read(65536):
        received.update(data)
    await sending
    writer.close()
    return sent.digest() == received.digest()


@pytest.mark.parametrize("make", [forward, reverse])
def test_gigabyte(make: object, programs: Programs) -> None:
    """
    200 connections at once, and half a GiB each way on a tunnel of either kind.
    """

    async def main() -> list[bool]:
        server = await asyncio.start_server(_echoing, "127.0.0.1", 0, backlog=512)
        port = server.sockets[0].getsockname()[1]
        assert callable(make)
        loop = asyncio.get_running_loop()
        pair = await loop.run_in_executor(None, make, programs, f"tcp:127.0.0.1:{port}")
        size = 512 * 1024 * 1024 // 200
        results = await asyncio.gather(
            *(_bulk(pair[0].port, number, size) for number in range(200))
        )
        server.close()
        return list(results)

    assert asyncio.run(main()) == [True] * 200


@pytest.mark.parametrize("make", [forward, reverse])
def test_manyConnections(make: object, programs: Programs) -> None:
    """
    200 connections at once, each of which ends one direction before it has heard
    anything: that end passes through both bridges, and nothing is lost.
    """

    async def main() -> list[bool]:
        server = await asyncio.start_server(_echoing, "127.0.0.1", 0, backlog=512)
        port = server.sockets[0].getsockname()[1]
        assert callable(make)
        loop = asyncio.get_running_loop()
        pair = await loop.run_in_executor(None, make, programs, f"tcp:127.0.0.1:{port}")
        results = await asyncio.gather(
            *(_roundTrip(pair[0].port, number) for number in range(200))
        )
        server.close()
        return list(results)

    assert asyncio.run(main()) == [True] * 200


def connect(port: int) -> socket.socket:
    """
    A plain connection.
    """
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


@pytest.fixture
def echo(programs: Programs) -> int:
    """
    The port of a server that sends back what it gets, in a process of its own.
    """
    code = (
        "import socketserver as s\n"
        "class E(s.BaseRequestHandler):\n"
        "  def handle(self):\n"
        "    try:\n"
        "      while d := self.request.recv(65536): self.request.sendall(d)\n"
        "    except OSError: pass\n"
        "s.ThreadingTCPServer.daemon_threads = True\n"
        "s.ThreadingTCPServer.request_queue_size = 100\n"
        "e = s.ThreadingTCPServer(('127.0.0.1', 0), E)\n"
        "print('port', e.server_address[1]); e.serve_forever()\n"
    )
    program = programs.start(sys.executable, "-c", code)
    return int(program.saw("port")[0].split()[1])


def exchange(connection: socket.socket, data: bytes = b"hello") -> None:
    """
    See that a connection is alive.
    """
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        more = connection.recv(65536)
        assert more, "ended"
        received += more
    assert received == data


def isReset(connection: socket.socket) -> bool:
    """
    Wait for a connection's end: was it reset?
    """
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def test_serverRestarts(programs: Programs, echo: int) -> None:
    """
    The server is killed while 50 clients hold streams: all are reset, and when it
    is back new connections go through, at the first try.
    """
    carrierPort = freePort()
    strings = (f"mux:tcp:{carrierPort}", f"tcp:127.0.0.1:{echo}")
    serve = programs.tunnel(*strings)
    dial = programs.tunnel("tcp:0", f"mux:tcp:127.0.0.1:{carrierPort}")
    port = dial.port
    assert serve.port == carrierPort
    clients = [connect(port) for _ in range(50)]
    for client in clients:
        exchange(client)
    serve.kill()
    assert [isReset(client) for client in clients] == [True] * 50
    assert len(dial.saw("carrier down")) == 1
    # It may be reset before it is even seen to be there.
    with contextlib.suppress(ConnectionResetError), connect(port) as refused:
        assert isReset(refused)
    dial.saw("connection from 127.* failed: mux:tcp:.*refused")
    serve = programs.tunnel(*strings)
    assert serve.port == carrierPort
    for client in clients:
        client.close()
        with connect(port) as again:
            exchange(again)


def test_eitherSideIsKilled(programs: Programs, echo: int) -> None:
    """
    Carriers of a reverse tunnel come back, whichever side was killed.
    """
    carrierPort = freePort()
    publishing = ("tcp:0", f"mux-listen:tcp:{carrierPort}")
    exposing = (f"mux-dial:tcp:127.0.0.1:{carrierPort}", f"tcp:127.0.0.1:{echo}")
    publish = programs.tunnel(*publishing)
    assert publish.carrierPort == carrierPort
    expose = programs.tunnel(*exposing)
    with connect(publish.port) as held:
        exchange(held)
        publish.kill()
    expose.saw("carrier down")
    publish = programs.tunnel(*publishing)
    with connect(publish.port) as held:
        # It waits until the peer is back.
        exchange(held)
        expose.kill()
        assert isReset(held)
    publish.saw("carrier down")
    programs.tunnel(*exposing)
    with connect(publish.port) as held:
        exchange(held)


def test_drain(programs: Programs, echo: int) -> None:
    """
    After SIGTERM there are no new connections; live ones finish, and with the last
    one the process ends, with exit status 0.
    """
    dial, serve = forward(programs, f"tcp:127.0.0.1:{echo}")
    port = dial.port
    with connect(port) as held:
        exchange(held)
        for program in (dial, serve):
            program.signal(signal.SIGTERM)
            program.saw("draining: 1 connections have 30 seconds")
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        exchange(held, b"still there" * 10_000)
        held.shutdown(socket.SHUT_WR)
        assert held.recv(1) == b""
    assert (dial.end(), serve.end()) == (0, 0)


def test_drainTakesTooLong(programs: Programs, echo: int) -> None:
    """
    Who does not finish in time is reset; a second signal does not wait that long.
    """
    dial, serve = forward(programs, f"tcp:127.0.0.1:{echo}")
    more = programs.tunnel("tcp:0", f"tcp:127.0.0.1:{echo}", "--drain", "0.2")
    with connect(dial.port) as held, connect(more.port) as other:
        exchange(held)
        exchange(other)
        dial.signal(signal.SIGINT)
        dial.saw("draining")
        dial.signal(signal.SIGINT)
        assert isReset(held)
        assert more.terminate() == 0
        assert isReset(other)
    assert dial.end() == 0
    dial.saw("1 connections are cut off")
    more.saw("1 connections have 0.2 seconds")
    assert serve.terminate() == 0


def test_reload(programs: Programs, echo: int, web: tuple[int, str]) -> None:
    """
    SIGHUP reads the file again: tunnels that did not change keep their
    connections, others come and go; a file with an error changes nothing.
    """
    file = programs.folder / "tunnels.toml"
    kept = f"[tunnels.kept]\nfrom = 'tcp:0'\nto = 'tcp:127.0.0.1:{echo}'\n"
    gone = kept.replace("kept", "gone")
    file.write_text("drain = 0.1\n" + kept + gone)
    program = programs.mux("--config", "tunnels.toml")
    ports = {}
    for line in program.saw("connections at 127", 2):
        fields = json.loads(line)
        ports[fields["tunnel"]] = int(fields["address"].split(":")[1])
    with connect(ports["kept"]) as held, connect(ports["gone"]) as other:
        exchange(held)
        exchange(other)
        file.write_text(kept + "[tunnels.bad]\nfrom = 'tcp:0'\n")
        program.signal(signal.SIGHUP)
        complaint = r"nothing is changed.*tunnels\.toml:4: tunnels\.bad\.to: is missing"
        assert len(program.saw(complaint)) == 1
        exchange(other)
        new = gone.replace("gone", "new").replace(str(echo), str(web[0]))
        file.write_text("drain = 0.1\n" + kept + new)
        program.signal(signal.SIGHUP)
        program.saw("reloaded: tunnels 1 added, 1 removed, 0 changed, 1 unchanged")
        exchange(held)
        assert isReset(other)
        with pytest.raises(ConnectionRefusedError):
            connect(ports["gone"])
        line = program.saw("tunnel new: connections at")[0]
        port = int(json.loads(line)["address"].split(":")[1])
        assert curl(port, "small") == b"small\n"
    assert program.terminate() == 0


# Descriptors from 3 on, and whom they are for.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid())})
"""


def test_systemd(programs: Programs, web: tuple[int, str]) -> None:
    """
    Sockets that systemd has opened are listened on.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        program = programs.start(
            *(sys.executable, "-c", AS_SYSTEMD, str(listening.fileno())),
            *(sys.executable, "-m", "twisted", "mux"),
            *("--from", "systemd:domain=INET:index=0"),
            *("--to", f"tcp:127.0.0.1:{web[0]}"),
            env=environment(LISTEN_FDS="1", LISTEN_FDNAMES="web"),
            pass_fds=[listening.fileno()],
        )
    assert curl(port, "small") == b"small\n"
    assert program.terminate() == 0


def test_twistd(programs: Programs, web: tuple[int, str]) -> None:
    """
    C{twistd} runs it as well, as a daemon, with its own options for logs; that a
    tunnel can't listen is known to who has started it.
    """
    code = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
    twistd = (sys.executable, "-c", code)
    target = f"tcp:127.0.0.1:{web[0]}"
    tunnel = ("mux", "--log-format", "json", "--from", "tcp:0", "--to", target)
    program = programs.start(*twistd, "-n", "--pidfile=", *tunnel)
    assert curl(program.port, "small") == b"small\n"
    busy = f"tcp:{program.port}"
    tunnel = ("mux", "--log-format", "json", "--from", busy, "--to", target)
    failing = programs.start(*twistd, "--pidfile=pid", "--logfile=log", *tunnel)
    assert failing.end() == 1
    assert len(failing.saw("tunnel 1: Couldn't listen on")) == 1
    log = (programs.folder / "log").read_text()
    assert sum("Couldn't listen on" in line for line in log.splitlines()) == 1
    assert "Traceback" not in log
    assert not (programs.folder / "pid").exists()
    assert program.terminate() == 0


def run(*arguments: str) -> tuple[int, str]:
    """
    Run C{twist mux} to its end.

    @return: the exit status, and the first of the lines it has printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "twisted", "mux", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout.split("\n\n")[0]


def test_badStrings() -> None:
    """
    What makes no sense is said in one line each.
    """
    wire = run("--from", "mux:tcp:7000:wire=semaphore", "--to", "tcp:127.0.0.1:80")
    assert wire[0] == 64
    assert wire[1].startswith("Error: --from: mux:tcp:7000:wire=semaphore")
    assert wire[1].count("\n") == 0
    status, text = run(
        *("--check", "--from", "tcp:0:colour=red", "--to"),
        "mux:tcp:127.0.0.1:7000:muxSpeed=9",
    )
    assert status == 1
    first, second = text.splitlines()
    assert first.startswith("--from: tcp:0:colour=red")
    assert first.endswith("unknown option colour")
    assert "unknown option muxSpeed" in second


def test_portInUse() -> None:
    """
    That it can't listen is one line, and exit status 1.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        status, text = run("--from", f"tcp:{port}", "--to", "tcp:127.0.0.1:1")
    assert status == 1
    lines = text.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"tunnel 1: Couldn't listen on 127.0.0.1:{port}")


def test_unreachableTarget(programs: Programs) -> None:
    """
    Nobody is there: each side says so in one line, and the connection is reset.
    """
    pair = forward(programs, f"tcp:127.0.0.1:{freePort()}")
    with connect(pair[0].port) as client:
        assert isReset(client)
    for program in pair:
        assert len(program.saw("connection from 127.* failed: ")) == 1
    assert [program.terminate() for program in pair] == [0, 0]


def test_strangerAtCarriersPort(programs: Programs, web: tuple[int, str]) -> None:
    """
    A web browser, say, at the port for carriers: one line that says so.
    """
    program = programs.tunnel("mux:tcp:0", f"tcp:127.0.0.1:{web[0]}")
    with connect(program.port) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        isReset(stranger)
    (line,) = program.saw("session with 127.* ended")
    assert "the peer seems to speak HTTP" in line
    assert program.terminate() == 0


def test_tooManyCarriers(
    programs: Programs, web: tuple[int, str], tmp_path: Path
) -> None:
    """
    How many carriers there may be is said in the string, in a file as well; one too
    many is refused, with a line in the log, and the others go on.
    """
    file = tmp_path / "tunnels.toml"
    file.write_text(
        f"""
        [tunnels.web]
        from = "mux:tcp:0:muxMaxSessions=9:muxMaxSessionsPerPeer=1"
        to = "tcp:127.0.0.1:{web[0]}"
        """
    )
    server = programs.mux("--config", str(file))
    client = programs.tunnel("tcp:0", f"mux:tcp:127.0.0.1:{server.port}")
    assert curl(client.port, "small") == b"small\n"
    # The reset may be there before connect() says that it has connected.
    with suppress(ConnectionResetError), connect(server.port) as stranger:
        isReset(stranger)
    (line,) = server.saw("carrier from 127.* refused")
    assert "1 sessions from 127.0.0.1 are open (limit maxSessionsPerPeer: 1)" in line
    assert curl(client.port, "small") == b"small\n"
    assert [program.terminate() for program in (client, server)] == [0, 0]
