"""
C{python -m twisted_mux demo}, the real thing, in a process of its own.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twisted_mux.wire import wireNames

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "twisted_mux", "demo"]
TIMEOUT = 120
FILES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A small folder: many small files, an empty one, and one larger than any window.
    """
    root = tmp_path_factory.mktemp("served")
    for number in range(FILES - 2):
        below = root / f"folder {number % 5}"
        below.mkdir(exist_ok=True)
        (below / f"{number}.txt").write_bytes(b"%d\n" % number * 50 * number)
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(2_000_000))
    return root


def runDemo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run the demo to its end.
    """
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


@pytest.mark.parametrize("wire", wireNames())
def test_eachWire(wire: str, folder: Path) -> None:
    """
    Every file arrives as it is on the disk, over one TCP connection.
    """
    done = runDemo("--path", str(folder), "--streams", "25", "--json", "--wire", wire)
    assert done.stderr == ""
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["path"] == str(folder)
    assert report["verified"] is True
    (result,) = report["wires"]
    assert result["wire"] == wire
    assert result["verified"] == result["files"] == FILES
    assert result["bytes"] == sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file()
    )
    assert result["streams"] == 25
    assert result["tcpConnections"] == 1
    assert result["failures"] == []


def test_oneStreamAtATime(folder: Path) -> None:
    """
    The carrier is kept between one stream and the next.
    """
    done = runDemo("--path", str(folder), "--streams", "1", "--json", "--wire", "yamux")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["wires"]
    assert (result["streams"], result["tcpConnections"]) == (1, 1)


def test_table(folder: Path) -> None:
    """
    Without C{--wire} each wire gets a line in the table, after lines of progress.
    """
    done = runDemo("--path", str(folder))
    assert done.stderr == ""
    assert done.returncode == 0
    table = done.stdout[done.stdout.index(f"{folder}:\n\nwire ") :].splitlines()[4:]
    assert [line.split()[0] for line in table] == list(wireNames())
    assert all(line.endswith(" all") for line in table)
    assert f"yamux: {FILES} of {FILES} files" in done.stdout


def test_badArgument() -> None:
    """
    An argument that makes no sense gets one line and exit code 2.
    """
    done = runDemo("--wire", "string and two tins")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_interruption(folder: Path) -> None:
    """
    Ctrl-C ends it at once, without a word, and with the shell's exit code for it.
    """
    # More to do than will be done: the first line of progress is the signal.
    wires = [argument for name in wireNames() for argument in ("--wire", name)]
    with subprocess.Popen(
        [*COMMAND, "--path", str(folder), "--streams", "1", *wires],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job's children ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as demo:
        assert demo.stdout is not None
        assert "files" in demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=TIMEOUT)
    assert err == ""
    assert "MB/s" not in out
    assert demo.returncode == 130


def test_terminal(folder: Path) -> None:
    """
    On a terminal there are bars, then the table.
    """
    master, slave = pty.openpty()
    arguments = ["--path", str(folder), "--wire", "yamux"]
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, stdout=slave, stderr=slave, stdin=slave
    ) as demo:
        os.close(slave)
        shown = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                # How Linux tells that the other end is closed.
                break
            shown += chunk
    os.close(master)
    assert demo.returncode == 0, shown
    assert f"{FILES}/{FILES}".encode() in shown
    assert b"MB/s" in shown
