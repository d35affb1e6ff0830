"""
The commands, files and configurations of README.md and of the guides to tunnels.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from tests.integration.programs import (
    PATIENCE,
    ROOT,
    Programs,
    curl,
    freePort,
    webServer,
)
from twisted_mux.tap import Options
from twisted_mux.tunnel_config import readConfig

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
GUIDES = ROOT / "docs" / "how-to"


def commands(page: Path) -> list[str]:
    """
    The C{twist mux} commands in a page's blocks.
    """
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^(?:\$ |ExecStart=)?twist mux (--from .*)$", text, re.M)


COMMANDS = [
    pytest.param(command, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, command in enumerate(commands(page))
    # What stands for strings, and what needs certificates, which test_mtls makes.
    if "SERVER_STRING" not in command and "mtls" not in command
]


def test_thereAreSome() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_check(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    C{--check} finds nothing wrong with a command.
    """
    # There are no sockets here that systemd has passed.
    command = re.sub(r"systemd:\S+", "tcp:8080", command)
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions([*shlex.split(command), "--check"])
    assert (ended.value.code, capsys.readouterr().err) == (0, "")


def test_file(tmp_path: Path) -> None:
    """
    The file of the guide to tunnels is right.
    """
    (block,) = re.findall(
        r"^```toml\n(.*?)^```$", (GUIDES / "tunnels.md").read_text("utf-8"), re.S | re.M
    )
    file = tmp_path / "tunnels.toml"
    file.write_text(block, encoding="utf-8")
    (tunnel,) = readConfig(MemoryReactorClock(), str(file), False, None).tunnels
    assert (tunnel.name, tunnel.connectTimeout) == ("web", 40)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_readme(block: int, programs: Programs, tmp_path: Path) -> None:
    """
    Both tunnels of README.md, with other ports.
    """
    found = re.findall(
        r"^```console\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.S | re.M
    )
    first, second, last = found[block].splitlines()
    (tmp_path / "file").write_bytes(b"content")
    with webServer(tmp_path) as port:
        ports = {"8000": str(port)}
        for each in ("7000", "7001", "8001", "8080"):
            ports[each] = str(freePort())

        def moved(line: str) -> str:
            return re.sub(r"\b[78]0\d\d\b", lambda found: ports[found[0]], line)

        for line in (first, second):
            program = programs.mux(*shlex.split(moved(line))[3:])
            program.saw("connections at")
        if "mux-dial" in second:
            program.saw("carrier up")
        where = re.search(r"http://127\.0\.0\.1:(\d+)/$", moved(last))
        assert where
        assert curl(int(where[1]), "file") == b"content"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_status(programs: Programs) -> None:
    """
    The status page as its guide has it, on loopback.
    """
    (command,) = commands(GUIDES / "status.md")
    port = str(freePort())
    moves = {
        "8080": "0",
        "0.0.0.0": "127.0.0.1",
        "9000": port,
        "server.example:7000": f"127.0.0.1:{freePort()}",
    }
    page = (GUIDES / "status.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (asking,) = re.findall(r"^\$ (curl .*)$", page, re.M)
    asking = asking.replace("server.example:9000", f"127.0.0.1:{port}")
    for old, new in moves.items():
        command = command.replace(old, new)
    programs.mux(*shlex.split(command)).saw("connections at")
    done = subprocess.run(
        [*shlex.split(asking), "--silent", "--fail"],
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    assert json.loads(done.stdout)["tunnels"]
    refused = subprocess.run(
        ["curl", "--silent", "--fail", f"http://127.0.0.1:{port}/status.json"],
        capture_output=True,
        timeout=PATIENCE,
    )
    assert refused.returncode != 0


def test_haproxy(programs: Programs) -> None:
    """
    HAProxy takes the configuration of the guide to several machines.
    """
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        pytest.skip("needs haproxy")
    text = (GUIDES / "several-machines.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"^```text\n(defaults\n.*?)^```$", text, re.S | re.M)
    file = programs.folder / "haproxy.cfg"
    file.write_text(config, encoding="utf-8")
    done = subprocess.run(
        [haproxy, "-c", "-f", str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
