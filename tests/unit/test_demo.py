"""
The demo's parts, over plain TCP: its two endpoint strings are replaced.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import endpoints
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed

from twisted_mux.__main__ import main
from twisted_mux.demo import command, report, run
from twisted_mux.demo.files import ServedFile, findFiles, hashFiles
from twisted_mux.demo.report import WireResult
from twisted_mux.demo.run import BodyHasher, Demo
from twisted_mux.wire import wireNames

CONTENTS = {
    "a.txt": b"some text\n",
    "empty": b"",
    "deeper/index.html": b"<p>not for the folder alone</p>",
    "deeper/still/large.bin": os.urandom(300_000),
    "odd names/50% off?#1 \N{SNOWMAN}.gz": b"\x1f\x8b not really",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    A folder with a few files.
    """
    root = tmp_path / "root"
    for name, content in CONTENTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


class Session:
    """
    As much of a session as the demo uses.
    """

    closed = False

    def close(self) -> None:
        self.closed = True


class CountingPort:
    """
    A port of plain TCP that counts like a server of carriers, but makes it one.
    """

    def __init__(self, port: Any, carriers: int) -> None:
        self.port = port
        self.carriersAccepted = carriers
        self.sessions = [Session()]

    def getHost(self) -> Any:
        return self.port.getHost()

    def stopListening(self) -> Any:
        return self.port.stopListening()


class CountingEndpoint:
    """
    A server endpoint that has L{CountingPort}s.
    """

    carriers = 1
    factory: Any = None

    def __init__(self, reactor: Any) -> None:
        self.endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")

    async def listen(self, factory: Any) -> CountingPort:
        self.factory = factory
        self.port = CountingPort(await self.endpoint.listen(factory), self.carriers)
        return self.port


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[CountingEndpoint]:
    """
    The demo runs over plain TCP; the servers that it has listened on.
    """
    made: list[CountingEndpoint] = []

    def server(reactor: Any, description: str) -> CountingEndpoint:
        assert description.startswith("mux:tcp:0:interface=127.0.0.1:wire=")
        made.append(CountingEndpoint(reactor))
        return made[-1]

    def client(reactor: Any, description: str) -> Any:
        assert description.startswith("mux:tcp:127.0.0.1:")
        port = description.split(":")[3]
        return endpoints.clientFromString(reactor, f"tcp:127.0.0.1:{port}")

    monkeypatch.setattr(run, "serverFromString", server)
    monkeypatch.setattr(run, "clientFromString", client)
    return made


class Trigger:
    """
    The real reactor, but for the shutdown, which is made to happen by hand.
    """

    def __init__(self) -> None:
        from twisted.internet import reactor

        self._reactor = reactor
        self.shutDown: Callable[[], None] = lambda: None

    def addSystemEventTrigger(
        self, phase: str, event: str, function: Callable[[], None]
    ) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.shutDown = function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def quietly(result: WireResult) -> None:
    """
    A report to nobody.
    """


@ensureDeferred
async def test_everyFileOfEveryWire(
    folder: Path, servers: list[CountingEndpoint]
) -> None:
    """
    Each wire gets a run that fetches every file; then its server is closed.
    """
    reactor = Trigger()
    reports: list[tuple[str, int]] = []
    demo = Demo(
        folder,
        ["one", "two"],
        3,
        lambda result: reports.append((result.wire, result.done)),
    )
    await demo.run(reactor)
    reactor.shutDown()
    assert not demo.interrupted
    assert [result.wire for result in demo.results] == ["one", "two"]
    for result, server in zip(demo.results, servers, strict=True):
        assert result.ok
        assert result.files == result.verified == len(CONTENTS)
        assert result.bytes == sum(map(len, CONTENTS.values()))
        assert result.streams == 3
        assert result.connections == 1
        assert result.seconds > 0
        assert result.megabytesPerSecond > 0
        assert result.failures == []
        assert not server.port.port.connected
        assert all(session.closed for session in server.port.sessions)
    assert reports == [(wire, n) for wire in ("one", "two") for n in range(1, 6)]


@ensureDeferred
async def test_moreStreamsThanFiles(
    folder: Path, servers: list[CountingEndpoint]
) -> None:
    """
    No more streams are in use than there are files.
    """
    demo = Demo(folder, ["one"], 100, quietly)
    await demo.run(Trigger())
    assert demo.results[0].streams == len(CONTENTS)


@ensureDeferred
async def test_differenceIsFound(
    folder: Path, servers: list[CountingEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file that arrives other than it was on the disk is not verified.
    """

    def hashThenChange(files: Any, into: dict[str, str]) -> Iterator[None]:
        yield from hashFiles(files, into)
        (folder / "a.txt").write_bytes(b"some test\n")

    monkeypatch.setattr(run, "hashFiles", hashThenChange)
    demo = Demo(folder, ["one"], 2, quietly)
    await demo.run(Trigger())
    (result,) = demo.results
    assert not result.ok
    assert result.verified == len(CONTENTS) - 1
    assert result.failed == 1
    assert result.failures == [
        "a.txt: ValueError: its SHA-256 is not that of the file on the disk"
    ]


@ensureDeferred
async def test_missingFileIsFound(
    folder: Path, servers: list[CountingEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file that the server has not got is a failure, and the rest goes on.
    """

    def hashThenRemove(files: Any, into: dict[str, str]) -> Iterator[None]:
        yield from hashFiles(files, into)
        (folder / "empty").unlink()

    monkeypatch.setattr(run, "hashFiles", hashThenRemove)
    demo = Demo(folder, ["one"], 2, quietly)
    await demo.run(Trigger())
    (result,) = demo.results
    assert result.failures == ["empty: ValueError: the server answered 404"]
    assert result.verified == len(CONTENTS) - 1


@ensureDeferred
async def test_noConnection(folder: Path, servers: list[CountingEndpoint]) -> None:
    """
    When nothing can be fetched, every file is counted and a few are named.
    """

    def stop(result: WireResult) -> None:
        servers[0].port.stopListening()

    demo = Demo(folder, ["one"], 1, stop)
    await demo.run(Trigger())
    (result,) = demo.results
    assert result.verified == 1
    assert result.failed == len(CONTENTS) - 1
    assert "ConnectionRefusedError" in result.failures[0]


@ensureDeferred
async def test_interruption(folder: Path, servers: list[CountingEndpoint]) -> None:
    """
    Once the reactor stops, no more files are fetched, and no more wires begun.
    """
    reactor = Trigger()
    demo = Demo(folder, ["one", "two"], 1, lambda result: reactor.shutDown())
    await demo.run(reactor)
    assert demo.interrupted
    assert demo.results == []
    assert len(servers) == 2
    assert servers[1].factory is None
    await servers[0].port.stopListening()


@ensureDeferred
async def test_brokenIsNotInterrupted(
    folder: Path, servers: list[CountingEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A demo that ended with an exception was not interrupted by the shutdown that
    follows.
    """

    def broken(reactor: Any, description: str) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "serverFromString", broken)
    reactor = Trigger()
    demo = Demo(folder, ["one"], 1, quietly)
    with pytest.raises(ZeroDivisionError):
        await demo.run(reactor)
    reactor.shutDown()
    assert not demo.interrupted


def test_findFiles(folder: Path) -> None:
    """
    Only regular files with a name that a URL can have.
    """
    (folder / "link").symlink_to("a.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"not \xff UTF-8")).write_bytes(b"")
    assert sorted(each.name for each in findFiles(folder)) == sorted(CONTENTS)


def test_unreadableFilesAreLeftOut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    So are files that this user can't read.
    """
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "a.txt")
    assert "a.txt" not in [each.name for each in findFiles(folder)]


def test_url() -> None:
    """
    Whatever has a meaning in a URL is quoted; slashes are not.
    """
    served = ServedFile("a b/c?d#e%20", Path("x"))
    assert served.url == b"http://demo/a%20b/c%3Fd%23e%2520"


def test_hashFiles(folder: Path) -> None:
    """
    The digests are those of the contents.
    """
    digests: dict[str, str] = {}
    for _ in hashFiles(findFiles(folder), digests):
        pass
    assert digests == {
        name: sha256(content).hexdigest() for name, content in CONTENTS.items()
    }


def test_bodyHasher() -> None:
    """
    A whole body gives its digest; one that broke off, the reason.
    """
    whole = BodyHasher()
    whole.dataReceived(b"ab")
    whole.dataReceived(b"c")
    whole.connectionLost(Failure(ResponseDone()))
    results: list[str] = []
    whole.done.addCallback(results.append)
    assert results == [sha256(b"abc").hexdigest()]
    assert whole.length == 3

    broken = BodyHasher()
    broken.connectionLost(Failure(ConnectionLost()))
    failures: list[Failure] = []
    broken.done.addErrback(failures.append)
    assert failures[0].check(ConnectionLost)


def result(**values: Any) -> WireResult:
    """
    A result in which all is well.
    """
    defaults = {
        "wire": "yamux",
        "files": 1200,
        "bytes": 5_000_000,
        "streams": 100,
        "connections": 1,
        "seconds": 2.0,
        "verified": 1200,
    }
    return WireResult(**{**defaults, **values})


def test_table() -> None:
    """
    The table has a line for each wire, in columns.
    """
    table = report.asTable(
        Path("some/where"),
        [result(), result(wire="smux1", verified=1199, connections=2)],
    )
    assert table == (
        "\n"
        "Files below some/where:\n"
        "\n"
        "wire   files      bytes  streams  TCP connections  seconds  MB/s  verified\n"
        "-----  -----  ---------  -------  ---------------  -------  ----  --------\n"
        "yamux  1,200  5,000,000      100                1     2.00   2.5       all\n"
        "smux1  1,200  5,000,000      100                2     2.00   2.5     1,199"
    )


def test_json() -> None:
    """
    The JSON has the table's columns and the failures.
    """
    good, bad = result(), result(verified=0, failed=1200, failures=["x: y"])
    decoded = json.loads(report.asJSON(Path("some/where"), [good, bad]))
    assert decoded["path"] == "some/where"
    assert decoded["verified"] is False
    assert decoded["wires"][0] == {
        "wire": "yamux",
        "files": 1200,
        "bytes": 5_000_000,
        "streams": 100,
        "tcpConnections": 1,
        "seconds": 2.0,
        "megabytesPerSecond": 2.5,
        "verified": 1200,
        "failures": [],
    }
    assert decoded["wires"][1]["failures"] == ["x: y"]
    assert json.loads(report.asJSON(Path("x"), [good]))["verified"] is True


def test_noTimeNoSpeed() -> None:
    """
    A result without a duration has no speed, and is no error.
    """
    assert result(seconds=0.0).megabytesPerSecond == 0.0


def test_complaints() -> None:
    """
    The first failures are named, the rest are counted; more than one connection
    is a failure too.
    """
    bad = result(verified=1192, connections=2)
    for number in range(8):
        bad.addFailure(f"file {number}", ConnectionLost())
    lines = list(report.complaints([result(), bad]))
    assert lines[0].startswith("yamux: file 0: ConnectionLost: Connection to the other")
    assert lines[5:] == ["yamux: and 3 more", "yamux: 2 TCP connections were used"]
    assert not bad.ok
    assert result().ok
    assert not result(connections=2).ok


def test_explain() -> None:
    """
    What an Agent wraps in a list is taken out; an exception without a text is its
    type.
    """
    wrapped = ResponseFailed([Failure(ResponseFailed([Failure(CancelledError())]))])
    assert report.explain(wrapped) == "CancelledError"
    assert report.explain(ValueError("two\n lines")) == "ValueError: two lines"


def test_progressInLines() -> None:
    """
    Elsewhere than on a terminal, there is a line for each quarter.
    """
    stream = io.StringIO()
    with report.progressOn(stream) as show:
        for done in range(1, 11):
            show(result(files=10, verified=done))
    assert stream.getvalue().splitlines() == [
        f"yamux: {done} of 10 files" for done in (3, 6, 9, 10)
    ]


def test_noProgress() -> None:
    """
    Where only JSON is wanted there is none.
    """
    stream = io.StringIO()
    with report.progressOn(stream, quiet=True) as show:
        show(result())
    assert stream.getvalue() == ""


class Terminal(io.StringIO):
    """
    A file that says that it is a terminal.
    """

    def isatty(self) -> bool:
        return True


def test_progressBars() -> None:
    """
    On a terminal there is a bar for each wire.
    """
    stream = Terminal()
    with report.progressOn(stream) as show:
        show(result(verified=600))
        show(result(verified=1200))
        show(result(wire="smux1", verified=1200))
    assert "yamux" in stream.getvalue()
    assert "smux1" in stream.getvalue()
    assert "1200/1200" in stream.getvalue()


def test_progressWithoutRich(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without C{rich} a terminal gets lines.
    """
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    stream = Terminal()
    with report.progressOn(stream) as show:
        show(result())
    assert stream.getvalue() == "yamux: 1,200 of 1,200 files\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--wire", "carrier-pigeon"], "unknown wire 'carrier-pigeon': it is one of "),
        (["--streams", "0"], "--streams must be a positive integer, not '0'"),
        (["--streams", "-1"], "--streams must be a positive integer, not '-1'"),
        (["--streams", "many"], "--streams must be a positive integer, not 'many'"),
        (["--path", "no/such/folder"], "no/such/folder: no such folder"),
        (["--path", __file__], f"{__file__}: no such folder"),
        (["--pace", "x"], "unrecognized arguments: --pace x"),
    ],
)
def test_badArguments(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Arguments that make no sense get one line and exit code 2.
    """
    with pytest.raises(SystemExit) as caught:
        main(["demo", *arguments])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.startswith("twisted_mux")
    assert err.count("\n") == 1


def test_emptyFolder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A folder without files is such an argument too.
    """
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--path", str(tmp_path)])
    assert caught.value.code == 2
    assert "no file in it that could be served" in capsys.readouterr().err


def optionsOf(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> command.Options:
    """
    What the demo is run with.
    """
    seen: list[command.Options] = []

    def demo(options: command.Options) -> int:
        seen.append(options)
        return 17

    monkeypatch.setattr(command, "main", demo)
    assert main(["demo", *arguments]) == 17
    return seen[0]


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By default the demo serves the installed Twisted over all wires.
    """
    import twisted

    options = optionsOf(monkeypatch)
    assert options.path == Path(twisted.__file__).parent
    assert options.wires == wireNames()
    assert options.streams == 100
    assert options.json is False


def test_options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each option is passed on; a wire given twice has one run.
    """
    wires = ["--wire", "yamux", "--wire", "smux2", "--wire", "yamux"]
    options = optionsOf(
        monkeypatch, "--path", str(folder), "--streams", "7", "--json", *wires
    )
    assert options == command.Options(folder, ("yamux", "smux2"), 7, json=True)


def runMain(
    monkeypatch: pytest.MonkeyPatch,
    end: BaseException,
    *results: WireResult,
    interrupted: bool = False,
    asJSON: bool = False,
) -> int:
    """
    Run the command with a demo that ends so and had these results.
    """

    class Finished(Demo):
        async def run(self, reactor: Any) -> None:
            self.results.extend(results)
            self.interrupted = interrupted

    def react(function: Callable[[Any], Any]) -> None:
        function(None)
        raise end

    monkeypatch.setattr(command, "Demo", Finished)
    monkeypatch.setattr(command, "react", react)
    return command.main(command.Options(Path("root"), ("yamux",), 1, asJSON))


def test_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Exit code 0 and a table if all was verified.
    """
    assert runMain(monkeypatch, SystemExit(0), result()) == 0
    out, err = capsys.readouterr()
    assert out == report.asTable(Path("root"), [result()]) + "\n"
    assert err == ""


def test_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Exit code 1 if not, with the reasons beside the results.
    """
    bad = result(verified=0, failed=1, files=1, failures=["x: y"])
    assert runMain(monkeypatch, SystemExit(0), bad, asJSON=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["verified"] is False
    assert err == "yamux: x: y\n"


@pytest.mark.parametrize(
    ("end", "interrupted", "code"),
    [
        (SystemExit(1), False, 1),
        (SystemExit(0), True, 130),
        (SystemExit(1), True, 130),
        (KeyboardInterrupt(), False, 130),
    ],
)
def test_noResults(
    end: BaseException,
    interrupted: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    A demo that broke, or that the user has ended, prints no results.
    """
    assert runMain(monkeypatch, end, interrupted=interrupted) == code
    assert capsys.readouterr() == ("", "")
