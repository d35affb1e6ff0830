"""
C{twist mux} as a proxy: curl on one side, C{socks5:} on the other, a mux in between.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.integration.programs import (
    PATIENCE,
    Program,
    Programs,
    freePort,
    webServer,
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

CONTENT = os.urandom(4 * 1024 * 1024)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """
    The port of a web server.
    """
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_bytes(CONTENT)
    with webServer(folder) as port:
        yield port


def proxy(programs: Programs, target: str) -> tuple[int, Program]:
    """
    Two processes: one is the proxy for clients, the other connects to targets.

    @return: the port of the first, and the second.
    """
    carrierPort = freePort()
    serve = programs.tunnel(f"mux:tcp:{carrierPort}", target)
    serve.saw("connections at")
    dial = programs.tunnel("tcp:0", f"mux:tcp:127.0.0.1:{carrierPort}")
    return dial.port, serve


def fetch(proxyUrl: str, url: str) -> subprocess.CompletedProcess[bytes]:
    """
    Have curl get something through a proxy.
    """
    return subprocess.run(
        ["curl", "-sS", "--fail", "--proxy", proxyUrl, url],
        capture_output=True,
        timeout=PATIENCE,
    )


def test_curl(programs: Programs, web: int) -> None:
    """
    Each kind of SOCKS that curl speaks; what is not allowed is refused, with the reply
    for that and a line in the log; and so is what is not there.
    """
    closed = freePort()
    port, serve = proxy(
        programs, f"socks5:allow=127.0.0.0/8\\:{web},127.0.0.1\\:{closed},localhost"
    )
    for kind in ("socks5h", "socks5", "socks4a", "socks4"):
        done = fetch(f"{kind}://127.0.0.1:{port}", f"http://localhost:{web}/file")
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(CONTENT).digest()
    for host, other, reply, why in (
        ("127.0.0.1", web + 1 if web != 65535 else 1, "(2)", "is not allowed"),
        ("localhost", 1, "(2)", "localhost:1: address .* is not allowed"),
        ("10.0.0.1", 80, "(2)", "10.0.0.1:80: address 10.0.0.1 is not allowed"),
        ("nowhere.invalid", 80, "(2)", "nowhere.invalid:80: that is not allowed"),
        ("127.0.0.1", closed, "(5)", "refused"),
    ):
        done = fetch(f"socks5h://127.0.0.1:{port}", f"http://{host}:{other}/")
        assert done.returncode == 97
        assert reply in done.stderr.decode()
        serve.saw(f"connection from 127.* failed: socks5:.* to {host}:{other}: .*{why}")
    done = fetch(f"socks4a://127.0.0.1:{port}", "http://10.0.0.1/")
    assert "(91)" in done.stderr.decode()


def test_password(programs: Programs, web: int) -> None:
    """
    Only with the right password; it is nowhere in the log.
    """
    port, serve = proxy(
        programs, "socks5:allow=127.0.0.1:user=us:password=pass\\:word:timeout=20"
    )
    url = f"http://127.0.0.1:{web}/file"
    done = fetch(f"socks5h://us:pass%3Aword@127.0.0.1:{port}", url)
    assert done.stdout == CONTENT
    for wrong in ("us:wrong@", "", "me:pass%3Aword@"):
        done = fetch(f"socks5h://{wrong}127.0.0.1:{port}", url)
        assert done.returncode == 97
    serve.saw("failed: socks5:.*: wrong user or password", 2)
    serve.saw("failed: socks5:.*: it does not offer to go on with a password")
    assert not any("word:timeout" in line for line in serve.lines)
    serve.saw("password=[*]{3}:timeout=20")


class Echo(socketserver.BaseRequestHandler):
    """
    Says again all that it has got, once that is all.
    """

    def handle(self) -> None:
        """
        Read, then write.
        """
        data = b""
        while more := self.request.recv(65536):
            data += more
        self.request.sendall(data)


def test_halfClose(programs: Programs) -> None:
    """
    Each direction ends by itself, through the proxy as well; what is sent early is
    not lost.
    """
    port, _ = proxy(programs, "socks5:allow=127.0.0.1")
    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        target = server.server_address[1]
        asked = b"\5\1\0\5\1\0\1\x7f\0\0\1" + target.to_bytes(2, "big")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(asked + CONTENT)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while more := client.recv(1 << 20):
                received += more
        thread.join(PATIENCE)
    assert received == b"\5\0" + b"\5\0\0\1" + bytes(6) + CONTENT


def test_badClients(programs: Programs) -> None:
    """
    Clients that send too much, or something else: each is closed, with one line that
    says why.  (The time that a request has is tested where time costs nothing, in
    tests/unit/test_socks.py.)
    """
    port, serve = proxy(programs, "socks5:")
    for sent, why in (
        (b"\4\1\0\x50\1\2\3\4" + b"u" * 600, "its request has more than 512 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "it does not speak SOCKS .first byte 71."),
    ):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(sent)
            assert client.recv(1) == b""
        assert len(serve.saw(f"connection from .* failed: socks5:: {why}")) == 1
