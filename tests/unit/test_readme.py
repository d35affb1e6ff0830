"""
What README.md says: its commands, its code, its table of wires.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twisted_mux.wire import wires
from twisted_mux.wire.base import Credit

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

YES_NO = {True: "yes", False: "no"}


def blocks(language: str) -> list[str]:
    """
    The blocks of code in one language.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


# The first line of each Python block is a comment with the file's name.
SCRIPTS = {block.split("\n")[0].removeprefix("# "): block for block in blocks("python")}


def test_twoCommands() -> None:
    """
    Two commands do all the set-up: one ends in the demo, one in the tests, which
    F{.ci/run} takes from here.
    """
    demo, test = blocks("sh")
    assert demo.rstrip().endswith("-m twisted_mux demo")
    assert test.rstrip().endswith("-m pytest")


def test_codeIsComplete() -> None:
    """
    There is a server and a client in either style.
    """
    assert list(SCRIPTS) == [
        "server.py",
        "client.py",
        "class_server.py",
        "class_client.py",
    ]


@contextmanager
def running(script: Path) -> Iterator[subprocess.Popen[str]]:
    """
    A process with a script, until the end of the context.
    """
    with subprocess.Popen(
        [sys.executable, "-u", "-W", "error", str(script)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("client", ["client.py", "class_client.py"])
@pytest.mark.parametrize("server", ["server.py", "class_server.py"])
def test_codeRuns(server: str, client: str, tmp_path: Path) -> None:
    """
    Each client talks to each server; only the port is another.
    """
    serverScript, clientScript = tmp_path / server, tmp_path / client
    assert SCRIPTS[server].count("7000") == SCRIPTS[client].count("7000") == 1
    serverScript.write_text(SCRIPTS[server].replace("7000", "0"))
    with running(serverScript) as listening:
        assert listening.stdout is not None
        line = listening.stdout.readline()
        found = re.search(r"port=(\d+)", line)
        if found is None:
            pytest.fail(f"{line}{listening.communicate()[1]}")
        clientScript.write_text(SCRIPTS[client].replace("7000", found[1]))
        with running(clientScript) as connecting:
            out, err = connecting.communicate(timeout=60)
        assert (out, err) == ("answer: b'hello'\n" * 3, "")
        assert connecting.returncode == 0
        assert listening.poll() is None


def test_tableOfWires() -> None:
    """
    The table has every wire, and says of each what its codec says.
    """
    found = {
        row[0]: row[1:]
        for row in re.findall(
            r"^\| `(\w+)`.*?" + r"\| (yes|no) " * 5 + r"\|$", README, re.MULTILINE
        )
    }
    expected = {}
    for name, codec in wires().items():
        can = codec.capabilities
        able = (can.credit is not Credit.NONE, can.reset, can.ack, can.ping, can.goAway)
        expected[name] = tuple(YES_NO[flag] for flag in able)
    assert found == expected
