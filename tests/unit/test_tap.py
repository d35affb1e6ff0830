"""
The options of C{twist mux}.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.logger import textFileLogObserver
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from twisted_mux import tap
from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.errors import ConfigError
from twisted_mux.json_log import formatAsLine, jsonLines
from twisted_mux.service import TunnelService
from twisted_mux.status.serving import StatusService
from twisted_mux.tap import Options, makeService, twistdObserver
from twisted_mux.tunnel_config import DRAIN, StatusPage, Tunnel, TunnelConfig

PAIR = ("--from", "tcp:0", "--to", "tcp:localhost:80")


def parsed(*arguments: str, parent: Any = None) -> Options:
    """
    The options, for that command line.
    """
    options = Options()
    options.parent = parent
    options.parseOptions(list(arguments))
    return options


def complaint(*arguments: str, parent: Any = None) -> str:
    """
    What is said of a command line.
    """
    with pytest.raises(UsageError) as caught:
        parsed(*arguments, parent=parent)
    return str(caught.value)


def test_plugin() -> None:
    """
    C{twist} and C{twistd} find it.
    """
    (maker,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "mux"]
    assert maker.options is Options
    assert maker.makeService is makeService


def test_pairs() -> None:
    """
    Tunnels on the command line.
    """
    config = parsed(*PAIR).config
    tunnel = Tunnel("1", "tcp:0", "tcp:localhost:80", CONNECT_TIMEOUT)
    assert config == TunnelConfig((tunnel,), DRAIN, False)
    config = parsed(
        *PAIR,
        *("--from", "mux:tcp:0:interface=", "--to", "tcp:localhost:81"),
        *("--drain", "0", "--connect-timeout=2.5", "--insecure-carrier"),
    ).config
    assert config == TunnelConfig(
        (
            Tunnel("1", "tcp:0", "tcp:localhost:80", 2.5),
            Tunnel("2", "mux:tcp:0:interface=", "tcp:localhost:81", 2.5),
        ),
        0.0,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "--from and --to are needed, or --config"),
        (("--to", "a:"), "--to a: has no --from before it"),
        (("--from", "a:"), "--from a: has no --to behind it"),
        (("--from", "a:", "--from", "b:"), "--from a: has no --to behind it"),
        ((*PAIR, "--to", "b:"), "--to b: has no --from before it"),
        ((*PAIR, "--config", "x"), "--config and --from exclude each other"),
        (
            ("--config", "x", "--connect-timeout", "1"),
            "--connect-timeout is for --from and --to; a file says it itself",
        ),
        ((*PAIR, "--drain", "long"), "--drain must be a number of seconds, not 'long'"),
        ((*PAIR, "--drain=inf"), "--drain must be a number of seconds, not 'inf'"),
        (
            (*PAIR, "--log-format=xml"),
            "--log-format must be text or json, not 'xml'",
        ),
        ((*PAIR, "--status-token", "longenough"), "--status-token is for --status"),
        (
            (*PAIR, "--status", "foo:"),
            "--status: foo:: no kind of endpoints is called 'foo'",
        ),
        (
            (*PAIR, "--status", "tcp:0:interface="),
            "--status: tcp:0:interface=: may be reached from beyond this machine: status-token is needed",
        ),
        (
            (*PAIR, "--status=tcp:9000", "--status-token=short"),
            "--status: the token must be 8 or more plain characters",
        ),
        (("--config", "/nowhere.toml"), "/nowhere.toml: No such file or directory"),
        (
            ("--from", "tcp:http", "--to", "tcp:a:1"),
            "--from: tcp:http:interface=127.0.0.1: 'http' is no whole number",
        ),
    ],
)
def test_usageErrors(arguments: tuple[str, ...], expected: str) -> None:
    """
    What makes no sense is said in one line.
    """
    assert complaint(*arguments) == expected


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    C{--check} says all that is wrong, and does nothing else.
    """
    with pytest.raises(SystemExit) as ended:
        parsed(*PAIR, "--check")
    assert ended.value.code == 0
    assert capsys.readouterr().out == "no errors; tunnels: 1\n"
    file = tmp_path / "t.toml"
    file.write_text("[tunnels.x]\nfrom = 'tcp:http'\nto = 'foo:'\n")
    with pytest.raises(SystemExit) as ended:
        parsed("--config", str(file), "--check")
    assert ended.value.code == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{file}:2: tunnels.x.from: tcp:http")
    assert second.startswith(f"{file}:3: tunnels.x.to: foo:")


def test_formatWithTwist() -> None:
    """
    C{twist} logs as wanted, or as it would have.
    """
    parent = {"fileLogObserverFactory": None}
    parsed(*PAIR, parent=parent)
    assert parent == {"fileLogObserverFactory": None}
    parsed(*PAIR, "--log-format=json", parent=parent)
    assert parent == {"fileLogObserverFactory": jsonLines}
    parsed(*PAIR, "--log-format=text", parent=parent)
    assert parent == {"fileLogObserverFactory": textFileLogObserver}
    parsed(*PAIR, "--log-format=json")


def test_formatWithTwistd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So does C{twistd}, to the place where it would have logged.
    """
    monkeypatch.chdir(tmp_path)
    parent: dict[str, Any] = {}
    parsed(*PAIR, "--log-format=text", parent=parent)
    assert parent == {}
    said = complaint(*PAIR, "--log-format=json", parent={"syslog": 1})
    assert said == "--log-format json does not go with --syslog"
    for logfile, nodaemon, name in (
        (None, 1, None),
        ("-", 1, None),
        (None, 0, "twistd.log"),
        ("my.log", 1, "my.log"),
    ):
        parent = {"logfile": logfile, "nodaemon": nodaemon}
        parsed(*PAIR, "--log-format=json", parent=parent)
        assert parent["logger"] == "twisted_mux.tap.twistdObserver"
        observer: Any = twistdObserver()
        assert observer.formatEvent is formatAsLine
        if name is None:
            assert observer._outFile is sys.stdout
        else:
            assert observer._outFile.path == str(tmp_path / name)
            observer._outFile.close()


def test_makeService(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The service is made, and does nothing yet; only with a file can it be told to
    read that again, wherever the process is by then.
    """
    service = makeService(parsed(*PAIR))
    assert isinstance(service, TunnelService)
    assert service._load is None
    assert not service.running
    monkeypatch.chdir(tmp_path)
    content = "drain = 1\n[tunnels.x]\nfrom='tcp:0'\nto='tcp:a:1'\n"
    (tmp_path / "t.toml").write_text(content)
    service = makeService(parsed("--config=t.toml"))
    assert isinstance(service, TunnelService)
    monkeypatch.chdir("/")
    (tmp_path / "t.toml").write_text(content.replace("1", "2"))
    assert service.config.drain == 1
    assert service._load is not None
    assert service._load().drain == 2


def test_makeServiceWithStatus() -> None:
    """
    The tunnels' service, and a page around it.
    """
    arguments = (*PAIR, "--status", "tcp:0:interface=", "--status-token", "longenough")
    service = makeService(parsed(*arguments))
    assert isinstance(service, StatusService)
    assert not service.running
    assert [each.tunnel.name for each in service.tunnels.present] == ["1"]


def test_statusOfAFile(tmp_path: Path) -> None:
    """
    A file says where the page is, too, and keeps its token from those who list
    processes; the command line goes before it.
    """
    file = tmp_path / "t.toml"
    tunnels = "[tunnels.x]\nfrom='tcp:0'\nto='tcp:a:1'\n"
    file.write_text(f"status='tcp:1:interface='\nstatus-token='longenough'\n{tunnels}")
    config = parsed(f"--config={file}")
    assert config.config.status == StatusPage("tcp:1:interface=", "longenough")
    assert "longenough" not in repr(config.config)
    assert isinstance(makeService(config), StatusService)
    config = parsed(f"--config={file}", "--status=tcp:2", "--status-token=otherwise")
    assert config.config.status == StatusPage("tcp:2", "otherwise")
    assert complaint(f"--config={file}", "--status=foo:").startswith("--status: foo:")
    file.write_text(tunnels)
    assert complaint(f"--config={file}", "--status-token=longenough") == (
        "--status-token is for --status"
    )
    file.write_text(f"status='tcp:1:interface='\n{tunnels}")
    assert complaint(f"--config={file}").startswith(f"{file}:1: status: tcp:1:interf")
    assert parsed(f"--config={file}", "--status-token=longenough").config.status.token


def test_makeServiceFails(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was right a moment ago may be wrong by now.
    """

    def fail(*_: object) -> None:
        raise ConfigError("gone")

    monkeypatch.setattr(tap, "TunnelService", fail)
    with pytest.raises(UsageError, match=r"^gone$"):
        makeService(parsed(*PAIR))
