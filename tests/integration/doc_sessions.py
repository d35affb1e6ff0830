"""
Plays what pages of the documentation show of terminals.

Each block of the language C{console} is a terminal, and they are played in the order of
the page.  A line with C{$} in front is a command, also when it goes on behind a
backslash; the lines below it must come, in that order, in what it writes (others may
come between them), and C{…} stands for anything.  C{^C} is an interrupt.  The last
command of a terminal may go on for ever: the first line of its output is waited for, the
others may come until the end of the page.  All others have to end, and none with
another status than 0.

All files are there of the folders of examples that a page includes files of.  Ports of four digits
that begin with 7, 8 or 9 become ports that are free, everywhere.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.programs import PATIENCE, ROOT, environment, freePort
from tests.interop.peers import CACHE

DOCS = ROOT / "docs"
INTERRUPT = "^C"
#: Warnings are errors, but what Twisted does with pyOpenSSL is not the page's doing.
WARNINGS = "error,ignore:Passing pyOpenSSL:DeprecationWarning"
#: Seconds for a command that ends: one that compiles takes long.
LONGEST = 400
# What Cargo and Python leave behind.
_BUILT = {"target", "__pycache__"}
_PORT = re.compile(r"\b[789]\d{3}\b")


@dataclass
class Command:
    """
    A command, and what comes of it.
    """

    line: str
    output: list[str] = field(default_factory=list)


def terminals(page: str) -> list[list[Command]]:
    """
    The terminals of a page.
    """
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.M):
        commands: list[Command] = []
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                commands.append(Command(re.sub(" +", " ", line[2:])))
            else:
                commands[-1].output.append(line)
        found.append(commands)
    return found


def included(page: str) -> list[str]:
    """
    The files that a page includes, below C{docs/examples}.
    """
    return re.findall(r"^```\{literalinclude\} /examples/(\S+)$", page, re.M)


class Running:
    """
    A command that runs in a terminal.
    """

    def __init__(self, line: str, folder: Path) -> None:
        self._line = line
        self._text = ""
        self._at = 0
        self._over = False
        self._changed = threading.Condition()
        self._master, slave = pty.openpty()
        path = f"{folder / '.bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=folder,
            env=environment(
                PATH=path,
                PYTHONWARNINGS=WARNINGS,
                CARGO_TARGET_DIR=str(CACHE / "rust-examples"),
            ),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # A terminal that nobody has open any more gives an error, no end.
        with suppress(OSError):
            while data := os.read(self._master, 65536):
                with self._changed:
                    self._text += data.decode(errors="replace")
                    self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def saw(self, expected: str) -> None:
        """
        Wait for a line behind those that were waited for before.
        """
        if expected == INTERRUPT:
            os.killpg(self.process.pid, signal.SIGINT)
            return
        parts = [re.escape(part) for part in expected.split("…")]
        pattern = re.compile(rf"^{'.*'.join(parts)}\r?$", re.M)

        def found() -> re.Match[str] | None:
            return pattern.search(self._text, self._at)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._over, PATIENCE)
            match = found()
        assert match, f"{self._line}\nhas no line {expected!r}:\n{self._text}"
        self._at = match.end()

    def ended(self) -> None:
        """
        Wait for its end.
        """
        status = self.process.wait(LONGEST)
        self._thread.join(PATIENCE)
        assert status == 0, f"{self._line}\nended with {status}:\n{self._text}"

    def stop(self) -> None:
        """
        End it, whatever it does, and all that it has started.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        os.close(self._master)


@contextmanager
def _stopping() -> Iterator[list[Running]]:
    running: list[Running] = []
    try:
        yield running
    finally:
        for each in reversed(running):
            each.stop()


def play(name: str, folder: Path, more: Iterable[str] = ()) -> int:
    """
    Play a page.

    @param name: its path below C{docs}.
    @param folder: an empty one to do it in.
    @param more: other folders of examples that have files for it.
    @return: how many commands there were.
    """
    page = (DOCS / name).read_text(encoding="utf-8")
    shown = "\n".join(
        command.line for terminal in terminals(page) for command in terminal
    )
    ports = {port: str(freePort()) for port in set(_PORT.findall(shown))}

    def moved(text: str) -> str:
        return _PORT.sub(lambda found: ports.get(found[0], found[0]), text)

    prepare(folder)
    for name in {path.split("/")[0] for path in included(page)} | set(more):
        source = DOCS / "examples" / name
        for path in source.rglob("*"):
            if path.is_file() and not _BUILT & set(path.relative_to(source).parts):
                copy = folder / path.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                content = path.read_text(encoding="utf-8")
                copy.write_text(
                    moved(content) if path.suffix == ".py" else content, "utf-8"
                )
    count = 0
    with _stopping() as running:
        later: list[tuple[Running, list[str]]] = []
        for terminal in terminals(moved(page)):
            for command in terminal:
                count += 1
                program = Running(command.line, folder)
                running.append(program)
                if command is terminal[-1] and command.output:
                    program.saw(command.output[0])
                    later.append((program, command.output[1:]))
                    continue
                for line in command.output:
                    program.saw(line)
                program.ended()
        for program, lines in later:
            for line in lines:
                program.saw(line)
            if program.process.poll() is not None or INTERRUPT in lines:
                program.ended()
    return count


def prepare(folder: Path) -> None:
    """
    Make the names of programs mean those of this environment.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE.parent / ".gitignore").write_text("*\n")
    programs = folder / ".bin"
    programs.mkdir()
    for name, arguments in (("python", ""), ("twist", "-m twisted ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        program.chmod(0o755)
