"""
Every input of the corpus finds nothing, with any Python and without atheris; the
targets do find what they are for; and a bounded run without feedback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.frames import split
from tests.fuzz.inputs import LONGEST, CutInput, SessionInput, cutUp
from tests.fuzz.minimise import minimise, stepsOf
from tests.fuzz.target import Target, TooSlow, bounded
from tests.fuzz.targets import CANARY, CORPUS, KEPT, WORK, inputs, store, targets
from tests.fuzz.vectors import messages
from twisted_mux.compiling import isCompiled
from twisted_mux.engine.reader import Reader
from twisted_mux.engine.session import Session
from twisted_mux.engine.stream import Stream
from twisted_mux.engine.table import StreamTable
from twisted_mux.errors import ProtocolError
from twisted_mux.socks.request import Negotiation
from twisted_mux.wire import wireNames
from twisted_mux.wire.mplex import MplexCodec
from twisted_mux.wire.yamux import YamuxCodec

#: What the corpus may have, in files and bytes.
MOST_FILES = 400
MOST_BYTES = 500_000

eachTarget = pytest.mark.parametrize("target", targets().values(), ids=list(targets()))


def corpusOf(target: Target) -> list[Path]:
    return list(inputs(CORPUS / target.name))


@eachTarget
def test_corpus(target: Target) -> None:
    """
    To repeat a failure: C{python -m tests.fuzz --replay FILE}.
    """
    files = corpusOf(target)
    assert files
    for path in files:
        # Shown if it fails.
        print(path)
        target.run(path.read_bytes())


@eachTarget
def test_seeds(target: Target) -> None:
    """
    What real peers sent finds nothing.
    """
    seeds = list(target.seeds())
    assert seeds
    for seed in seeds:
        assert len(seed) <= LONGEST
        target.run(seed)


def test_size() -> None:
    """
    The corpus is small, and has no folders but those of targets.
    """
    folders = [path for path in CORPUS.iterdir() if path.is_dir()]
    assert {path.name for path in folders} == set(targets())
    files = [path for folder in folders for path in inputs(folder)]
    assert len(files) <= MOST_FILES
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def scramble(chance: Random) -> Callable[[bytes, int], bytes]:
    """
    Something like libFuzzer's own mutator.
    """

    def mutate(data: bytes, most: int) -> bytes:
        result = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randint(0, len(result))
            end = place + chance.randrange(3)
            result[place:end] = chance.randbytes(chance.randrange(3))
        return bytes(result[:most])

    return mutate


@eachTarget
def test_mutated(target: Target) -> None:
    """
    So does what the mutators make of it.
    """
    chance = Random(target.name)
    pool = [path.read_bytes() for path in corpusOf(target)]
    other = scramble(chance)
    for _ in range(100):
        data = chance.choice(pool)
        for _ in range(chance.randint(1, 5)):
            seed = chance.getrandbits(32)
            mutate = target.mutate
            data = mutate(data, LONGEST, seed, other) if mutate else other(data, 999)
            assert len(data) <= LONGEST
        target.run(data)


# What inputs mean.


def test_inputs() -> None:
    """
    Any bytes are an input, and an input is what it was packed as.
    """
    chance = Random(3)
    for size in (*range(12), 50, 300):
        data = chance.randbytes(size)
        cut = CutInput.parse(data)
        assert cut.pack() == data.ljust(3, b"\0")
        session = SessionInput.parse(data)
        assert SessionInput.parse(session.pack()) == session
        assert session.replace(b"x").wire == cut.replace(b"x").wire == b"x"
        for cuts in (0, 1, 2, 3, 4, 5, 65535):
            assert b"".join(cutUp(data, cuts)) == data
    assert cutUp(b"abc", 0) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("wire", wireNames())
def test_split(wire: str) -> None:
    """
    The frames of real peers are found; bytes of any kind are taken apart.
    """
    chance = Random(4)
    for _, content in messages(wire):
        frames = split(wire, content)
        assert b"".join(frames) == content
        assert len(frames) > 1 or len(content) < 100
        garbage = chance.randbytes(100)
        assert b"".join(split(wire, garbage)) == garbage


# Targets find what they are for.

#: What puts a fault into the code under test.
OPEN = pytest.mark.skipif(
    isCompiled(),
    reason="compiled code looks up neither its methods nor further attributes",
)


def finding(target: Target, data: bytes) -> str:
    """
    What an input finds: the name of an exception, or nothing.
    """
    try:
        target.run(data)
    except Exception as error:
        return type(error).__name__
    return ""


def findsSomething(name: str) -> list[str]:
    """
    What the corpus of a target finds now.
    """
    target = targets()[name]
    found = [finding(target, path.read_bytes()) for path in corpusOf(target)]
    return [each for each in found if each]


def after(original: Any, effect: Callable[..., object]) -> Any:
    """
    A method that does something wrong afterwards.
    """

    def wrong(self: Any, *arguments: Any) -> Any:
        result = original(self, *arguments)
        effect(self, *arguments)
        return result

    return wrong


def _raise(*_: object) -> None:
    raise IndexError


def _keepAll(codec: Any, data: bytes) -> None:
    codec._more = getattr(codec, "_more", b"") + data * 100


def _dependOnCuts(codec: Any, data: bytes) -> None:
    if len(data) == 1:
        raise ProtocolError("a single byte")


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (lambda codec, data: None, set()),
        (_raise, {"IndexError"}),
        pytest.param(_keepAll, {"AssertionError"}, marks=OPEN),
        (_dependOnCuts, {"AssertionError"}),
    ],
)
def test_codecsFind(
    monkeypatch: pytest.MonkeyPatch,
    effect: Callable[..., object],
    expected: set[str],
) -> None:
    """
    Other errors, bytes that are kept, and a dependence on the cuts are found.
    """
    monkeypatch.setattr(YamuxCodec, "receive", after(YamuxCodec.receive, effect))
    assert set(findsSomething("codec-yamux")) == expected


def _keep(table: Any, stream: Stream) -> None:
    table.streams[stream.key] = stream


def _holdMore(reader: Any, *_: object) -> None:
    reader.held += 1


@OPEN
@pytest.mark.parametrize(
    ("owner", "method", "effect"),
    [
        (Session, "receive", _raise),
        (Reader, "dropHeld", _holdMore),
        (Reader, "_drain", _holdMore),
        (Stream, "endWriting", _raise),
        (StreamTable, "remove", _keep),
    ],
)
@pytest.mark.parametrize("wire", ["yamux", "mplex"])
def test_sessionsFind(
    monkeypatch: pytest.MonkeyPatch,
    wire: str,
    owner: type,
    method: str,
    effect: Callable[..., object],
) -> None:
    """
    Errors of any kind, wrong accounts, and streams that are left are found.
    """
    monkeypatch.setattr(owner, method, after(getattr(owner, method), effect))
    assert findsSomething(f"session-{wire}")


@OPEN
def test_sessionsFindWhatIsLost(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A stream that is not told of the end is found.
    """
    monkeypatch.setattr(Stream, "discardOutput", lambda stream: None)
    assert "AssertionError" in findsSomething("session-yamux")


@pytest.mark.parametrize(
    ("name", "owner", "method"),
    [
        ("detect", MplexCodec, "match"),
        ("socks", Negotiation, "receive"),
    ],
)
def test_beginningsFind(
    monkeypatch: pytest.MonkeyPatch, name: str, owner: type, method: str
) -> None:
    """
    So are errors of another kind at beginnings.
    """
    monkeypatch.setattr(owner, method, _raise)
    assert "IndexError" in findsSomething(name)


def test_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Time that grows faster than the input is found.
    """

    @contextmanager
    def clock(took: float) -> Iterator[None]:
        times = iter([1.0, 1.0 + took])
        monkeypatch.setattr(time, "process_time", lambda: next(times))
        yield

    with clock(0.2), bounded(10):
        pass
    with clock(0.9), bounded(4000):
        pass
    with pytest.raises(TooSlow), clock(0.9), bounded(1000):
        pass


# The command.


def test_minimise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A corpus shrinks to what is needed to take the same steps.
    """

    target = targets()["codec-smux1"]
    many = tmp_path / "many"
    few = tmp_path / "few"
    for seed in target.seeds():
        store(many, seed)
    useless = store(few, b"", KEPT)
    minimise(target, many, few)
    assert useless.exists()
    kept = [path.read_bytes() for path in inputs(few)]
    assert 0 < len(kept) < len(list(inputs(many)))
    every = set().union(*(stepsOf(target.run, seed) for seed in target.seeds()))
    assert set().union(*(stepsOf(target.run, data) for data in kept)) == every
    assert "kept" in capsys.readouterr().out


def test_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Inputs can be run again, by target or by file.
    """
    assert command.main(["--target", "detect", "--replay"]) == 0
    good = store(tmp_path / "detect", b"\0")
    assert command.main(["--replay", str(good)]) == 0
    assert "1 inputs were run" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="named after a target"):
        command.main(["--replay", str(store(tmp_path / "other", b""))])


def test_replayOfAFinding(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What finds something makes the command fail.
    """
    monkeypatch.setattr(MplexCodec, "match", _raise)
    path = store(tmp_path / "detect", b"\0")
    assert command.main(["--replay", str(path)]) == 1
    assert f"{path}: finds something" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ci", "expected", "status"), [("", True, 0), ("1", True, 1), ("1", False, 0)]
)
def test_withoutAtheris(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    expected: bool,
    status: int,
) -> None:
    """
    Without atheris one line is all, but on CI it has to be there if it can.
    """
    monkeypatch.setattr(command, "available", lambda: False)
    monkeypatch.setattr(command, "expected", lambda: expected)
    monkeypatch.setenv("CI", ci)
    assert command.main([]) == status
    assert len(capsys.readouterr().out.splitlines()) == 1


needsAtheris = pytest.mark.skipif(
    not command.available(), reason="atheris is not installed (extra fuzz)"
)


@needsAtheris
def test_fuzz(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    A second of it.
    """
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr(command, "FOUND", tmp_path / "found")
    target = targets()["codec-smux2"]
    outcome = command.fuzz(target, 1, False)
    assert not outcome.trouble
    assert outcome.executed > len(list(target.seeds()))
    assert outcome.edges > 20
    assert not outcome.found


@needsAtheris
def test_fuzzFinds(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What a worker finds is there to be replayed, and makes the command fail.
    """
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr(command, "FOUND", tmp_path / "found")
    assert not command.fuzzAll([CANARY], 30, 1, False)
    [path] = inputs(tmp_path / "found" / CANARY.name)
    said = capsys.readouterr().out
    assert f"--replay {path}" in said
    assert "ZeroDivisionError" in said
    with pytest.raises(ZeroDivisionError):
        CANARY.run(path.read_bytes())


@needsAtheris
def test_workersThatDoNotRun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A worker that ends without having done anything is a failure, too.
    """
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr(command, "FOUND", tmp_path / "found")
    unknown = Target("unknown", lambda data: None, list)
    assert not command.fuzzAll([unknown], 1, 1, False)
    assert "KeyError" in capsys.readouterr().out


def test_workIsIgnored() -> None:
    """
    Git ignores what fuzzers leave.
    """
    ignored = (CORPUS.parents[2] / ".gitignore").read_text().splitlines()
    assert f"{WORK.relative_to(CORPUS.parents[2])}/" in ignored
