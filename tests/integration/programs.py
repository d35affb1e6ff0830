"""
C{twist mux} and other programs, in processes of their own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Seconds after which something that has not happened will not happen.
PATIENCE = 30


def environment(**more: str) -> dict[str, str]:
    """
    The environment for a program.
    """
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


class Program:
    """
    A running program whose lines of output are watched.

    @ivar lines: those that there were.
    @ivar process: the process.
    """

    def __init__(self, *command: str, **how: Any) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        how.setdefault("env", environment())
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **how,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _until(self, condition: Callable[[], Any]) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: condition() or self._over, PATIENCE)
            found = condition()
            assert found, "\n".join(["it did not come to that:", *self.lines])
            return found

    def saw(self, pattern: str, count: int = 1) -> list[str]:
        """
        Wait for lines in which a pattern is found.

        @return: those.
        """

        def found() -> list[str]:
            lines = [line for line in self.lines if re.search(pattern, line)]
            return lines if len(lines) >= count else []

        lines: list[str] = self._until(found)
        return lines

    def field(self, name: str, pattern: str) -> str:
        """
        What a field has in the first line, in JSON, with a pattern.
        """
        return str(json.loads(self.saw(pattern)[0])[name])

    @property
    def port(self) -> int:
        """
        The port of its first tunnel.
        """
        return int(self.field("address", "connections at 127").rpartition(":")[2])

    @property
    def carrierPort(self) -> int:
        """
        The port at which peers can dial in.
        """
        return int(self.field("address", "peers can dial in").rpartition(":")[2])

    def signal(self, number: int) -> None:
        """
        Send it a signal.
        """
        self.process.send_signal(number)

    def end(self) -> int:
        """
        Wait for its end, and for its last line.

        @return: the exit status.
        """
        status = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        return status

    def terminate(self) -> int:
        """
        End it as a supervisor would.
        """
        self.signal(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        """
        End it at once.
        """
        self.process.kill()
        self.end()


class Programs:
    """
    Starts programs, and ends them when the test does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs: list[Program] = []

    def start(self, *command: str, **how: Any) -> Program:
        """
        Start one.
        """
        program = Program(*command, cwd=self.folder, **how)
        self._programs.append(program)
        return program

    def mux(self, *arguments: str, **how: Any) -> Program:
        """
        Start C{twist mux} with lines of JSON as its log.
        """
        return self.start(
            *(sys.executable, "-m", "twisted", "mux", "--log-format", "json"),
            *arguments,
            **how,
        )

    def tunnel(self, source: str, target: str, *more: str) -> Program:
        """
        Start C{twist mux} with one tunnel.
        """
        return self.mux("--from", source, "--to", target, *more)

    def endAll(self) -> None:
        """
        Kill those that are left.
        """
        for program in self._programs:
            program.kill()

    def noTracebacks(self) -> None:
        """
        Nobody has said more than they should.
        """
        for program in self._programs:
            text = "\n".join(program.lines)
            assert "Traceback" not in text, text


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """
        Not to the tests' output.
        """


@contextmanager
def webServer(folder: Path) -> Iterator[int]:
    """
    A web server that knows nothing of Twisted.

    @return: its port.
    """
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: _Quiet(*args, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def freePort() -> int:
    """
    A port on which nobody listens now.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def curl(port: int, path: str, *more: str) -> bytes:
    """
    What curl gets.
    """
    return subprocess.run(
        ["curl", "-sS", "--fail", *more, f"http://127.0.0.1:{port}/{path}"],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    ).stdout
