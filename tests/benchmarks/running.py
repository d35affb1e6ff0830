"""
Runs one measurement: two processes, and what one of them reports.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.job import Job

ROOT = Path(__file__).parents[2]

#: What a measurement found, by the figure's name.
Result = dict[str, float]


class MeasurementFailed(Exception):
    """
    A process ended, or said nothing, before there was a result; with what it wrote
    to standard error.
    """


@dataclass(frozen=True)
class Layout:
    """
    Which cores the two processes run on.

    @ivar name: C{"one"}: both on the same, so that the figure is their CPU cost
        together.  C{"two"}: each on its own.
    """

    name: str
    server: frozenset[int]
    client: frozenset[int]
    every: frozenset[int]

    def of(self, role: str, pinned: bool) -> frozenset[int]:
        """
        The cores for a process.
        """
        if not pinned:
            return self.every
        return self.server if role == "server" else self.client


def layouts(names: Sequence[str]) -> list[Layout]:
    """
    The layouts, on the cores that this process may use.

    @raise ValueError: there are not enough.
    """
    every = sorted(os.sched_getaffinity(0))
    found = []
    for name in names:
        if name == "two" and len(every) < 2:
            raise ValueError("there is just one core; ask for --cores one")
        cores = (every[0], every[0] if name == "one" else every[1])
        found.append(
            Layout(name, frozenset([cores[0]]), frozenset([cores[1]]), frozenset(every))
        )
    return found


class _Process:
    """
    One of the two, and its lines.
    """

    def __init__(
        self,
        role: str,
        command: Sequence[str],
        cores: frozenset[int],
        errors: IO[bytes],
        folder: str,
    ) -> None:
        self.role = role
        self._errors = errors
        self._partial = b""
        self.messages: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**_environment(), "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=_pinner(cores),
            # With what it starts itself it is a group.
            start_new_session=True,
        )

    def fileno(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read(self) -> None:
        """
        Take what it has written.

        @raise MeasurementFailed: that is all there will be.
        """
        data = os.read(self.fileno(), 65536)
        if not data:
            self.process.wait()
            raise MeasurementFailed(
                f"the {self.role} ended ({self.process.returncode}):\n{self.errors()}"
            )
        *lines, self._partial = (self._partial + data).split(b"\n")
        self.messages += map(json.loads, lines)

    def errors(self) -> str:
        """
        What it wrote to standard error.
        """
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-5000:]

    def end(self) -> None:
        """
        End it, and what it has started.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _environment() -> dict[str, str]:
    """
    What a process is started with: no tracing of what is measured.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV_", "COVERAGE_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def _pinner(cores: frozenset[int]) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, cores)


def _await(name: str, of: _Process, every: Sequence[_Process], until: float) -> Any:
    """
    What a process says by that name.
    """
    with selectors.DefaultSelector() as selector:
        for each in every:
            selector.register(each, selectors.EVENT_READ)
        while True:
            for message in of.messages:
                if name in message:
                    return message[name]
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                told = "\n".join(f"{each.role}: {each.errors()}" for each in every)
                raise MeasurementFailed(f"no {name} in time\n{told}")
            for key, _ in ready:
                key.fileobj.read()  # type: ignore[union-attr]


def measure(
    command: Sequence[str], wire: str, job: Job, layout: Layout, pinned: bool = True
) -> Result:
    """
    Start server and client, and wait for their result.

    @param command: what starts either, before the arguments of L{Job}'s module.
    @param pinned: are they bound to the layout's cores, or just to those that the
        harness may use?
    @raise MeasurementFailed: there was none.
    """
    until = time.monotonic() + job.limit
    with ExitStack() as stack:
        # For both: what they have there is gone with them.
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(
                prefix="mux-benchmark-", ignore_cleanup_errors=True
            )
        )

        def start(role: str, *more: str) -> _Process:
            line = [*command, role, wire, job.encode(), *more]
            errors = stack.enter_context(tempfile.TemporaryFile())
            started = _Process(role, line, layout.of(role, pinned), errors, folder)
            stack.callback(started.end)
            return started

        if job.alone:
            alone = start(job.reporter)
            return dict(_await("result", alone, [alone], until))
        server = start("server")
        port = _await("port", server, [server], until)
        client = start("client", str(port))
        reporter = server if job.reporter == "server" else client
        result: Mapping[str, float] = _await(
            "result", reporter, [server, client], until
        )
        return dict(result)
