"""
Files with tunnels, and what is said of those that are wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from twisted_mux import tunnel_config
from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.tunnel_config import (
    DRAIN,
    BadConfig,
    StatusPage,
    Tunnel,
    TunnelConfig,
    lineOf,
    readConfig,
)

GOOD = """\
drain = 5
insecure-carrier = true
status = "tcp:9000"
status-token = "correct-horse"

[tunnels.web]
from = "tcp:8080"
to = "mux:tcp:server.example:7000"
connect-timeout = 2.5

[tunnels."and back"]
to = "tcp:localhost:80"
from = "mux:tcp:7000:interface=0.0.0.0"
"""


SECONDS = "must be a number of seconds"


@pytest.fixture
def reactor() -> Any:
    """
    A reactor that does nothing.
    """
    return MemoryReactorClock()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The file, which is in the current folder.
    """
    monkeypatch.chdir(tmp_path)
    return tmp_path / "t.toml"


def complaints(reactor: Any, file: Path, content: str) -> list[str]:
    """
    What is said of a file.
    """
    file.write_text(content)
    with pytest.raises(BadConfig) as caught:
        readConfig(reactor, "t.toml")
    assert str(caught.value).splitlines() == list(caught.value.complaints)
    return list(caught.value.complaints)


def test_good(reactor: Any, file: Path) -> None:
    """
    A file says everything; the command line goes before it.
    """
    file.write_text(GOOD)
    tunnels = (
        Tunnel("web", "tcp:8080", "mux:tcp:server.example:7000", 2.5),
        Tunnel("and back", "mux:tcp:7000:interface=0.0.0.0", "tcp:localhost:80"),
    )
    page = StatusPage("tcp:9000", "correct-horse")
    assert readConfig(reactor, "t.toml") == TunnelConfig(tunnels, 5.0, True, page)
    file.write_text(GOOD.replace("drain = 5", "").replace("true", "false"))
    page = StatusPage("tcp:9001", "battery-staple")
    config = readConfig(reactor, "t.toml", insecureCarrier=True, drain=1, status=page)
    assert config == TunnelConfig(tunnels, 1.0, True, page)
    config = readConfig(reactor, "t.toml", insecureCarrier=True)
    assert config.drain == DRAIN
    assert tunnels[1].connectTimeout == CONNECT_TIMEOUT


def test_everyError(reactor: Any, file: Path) -> None:
    """
    All errors are found at once, each with its line and its key.
    """
    found = complaints(
        reactor,
        file,
        """\
# A comment.
drain = -1
colour = "red"
insecure-carrier = 1
status-token = 12345678

[tunnels.first]
from = "tcp:http"
to = [
    "tcp:localhost:80",
]

[tunnels.second]
    connect-timeout = "now"
    from = "mux:tcp:7000:interface=0.0.0.0"
    speed = 9

[tunnels]
third = "tcp:80"
fourth = { from = "tcp:0", to = "tcp:a:b" }
""",
    )
    assert found == [
        "t.toml:2: drain: must be at least 0, not -1",
        "t.toml:3: colour: unknown key",
        "t.toml:4: insecure-carrier: must be true or false, not 1",
        "t.toml:5: status-token: must be a string",
        "t.toml:9: tunnels.first.to: must be a string, not ['tcp:localhost:80']",
        "t.toml:13: tunnels.second.to: is missing",
        f"t.toml:14: tunnels.second.connect-timeout: {SECONDS}, not 'now'",
        "t.toml:16: tunnels.second.speed: unknown key",
        "t.toml:19: tunnels.third: must be a table with from and to",
        "t.toml:20: tunnels.fourth.to: tcp:a:b: 'b' is no whole number",
    ]


def test_strings(reactor: Any, file: Path) -> None:
    """
    What is wrong with the strings is found as well.
    """
    found = complaints(
        reactor,
        file,
        "[tunnels]\n[tunnels.x]\nto='foo:1'\nfrom='mux:tcp:1:interface='\n",
    )
    assert found[0] == (
        "t.toml:3: tunnels.x.to: foo:1: no kind of endpoints is called 'foo'"
    )
    assert found[1].startswith("t.toml:4: tunnels.x.from: mux:tcp:1:interface=: every")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "t.toml:1: there are no tunnels"),
        ("[tunnels]\n", "t.toml:1: there are no tunnels"),
        ("tunnels = 7", "t.toml:1: tunnels: must be a table, not 7"),
        ("drain = nan", "t.toml:1: drain: must be at least 0, not nan"),
        ("\na = ?", "t.toml:2: Invalid value (column 5)"),
        ("\n\na = '", "t.toml:3: "),
        ("[tunnels.x\n", "t.toml:1: "),
        ("status = 'tcp:x'", "t.toml:1: status: tcp:x:interface=127.0.0.1: 'x' is no"),
        ("status-token = 'correct-horse'", "t.toml:1: status-token: there is no"),
    ],
)
def test_noTunnels(content: str, expected: str, reactor: Any, file: Path) -> None:
    """
    Files with nothing in them, and those that aren't TOML.
    """
    found = complaints(reactor, file, content)
    assert found[0].startswith(expected)


def test_unreadable(reactor: Any, file: Path) -> None:
    """
    Files that are not there, or are no text.
    """
    with pytest.raises(BadConfig, match=r"^t\.toml: No such file or directory$"):
        readConfig(reactor, "t.toml")
    file.write_bytes(b"\xff")
    with pytest.raises(BadConfig, match=r"^t\.toml: is not UTF-8$"):
        readConfig(reactor, "t.toml")


def test_lineOf() -> None:
    """
    The line of a key, or of the innermost table that is there.
    """
    source = 'x = """\na = 1\n"""\n\n# a = 2\na.b.c = [\n1,\n]\na.b.d = 2\n'
    assert lineOf(source, ["x"]) == 1
    assert lineOf(source, ["a"]) == lineOf(source, ["a", "b", "c"]) == 6
    assert lineOf(source, ["a", "b", "d"]) == 9
    assert lineOf(source, ["a", "b", "e"]) == 6
    assert lineOf(source, ["x", "y"]) == 1
    assert lineOf(source, ["z"]) == 1


def test_noParser(monkeypatch: pytest.MonkeyPatch, reactor: Any) -> None:
    """
    Python 3.10 has no parser for TOML.
    """

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tunnel_config, "import_module", missing)
    with pytest.raises(BadConfig, match=r"tomli: twisted-mux\[cli\]"):
        readConfig(reactor, "t.toml")
