"""
What says which tunnels there are to be, a file or a command line: whatever it is, it
is taken, or refused with the documented error, and nothing else comes out.

Files are made from parts of which it is known what is wrong with each, and in which
line: that is what the complaints have to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage

from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.tap import Options
from twisted_mux.tunnel_config import (
    DRAIN,
    BadConfig,
    StatusPage,
    Tunnel,
    TunnelConfig,
    readConfig,
)

FILE = "t.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def read(folder: Path, content: bytes) -> TunnelConfig | list[str]:
    """
    What a file says, or what is said of it.
    """
    path = folder / FILE
    path.write_bytes(content)
    try:
        return readConfig(MemoryReactorClock(), str(path))
    except BadConfig as error:
        return [each.replace(f"{path}:", "") for each in error.complaints]


def checkComplaints(complaints: Sequence[str], content: bytes) -> None:
    """
    Each is one line, and says which of the file's lines it is about.
    """
    assert complaints
    last = content.count(b"\n") + 1
    for complaint in complaints:
        assert len(complaint.splitlines()) == 1, complaint
        found = re.match(r"(\d+): (?=.)", complaint)
        assert found or "is not UTF-8" in complaint, complaint
        assert found is None or 1 <= int(found[1]) <= last, complaint


# Files that are put together.


@dataclass
class Value:
    """
    What may stand behind a key: in TOML, and in Python, if it is right there.
    """

    text: str
    content: Any = None


def quoted(text: str) -> str:
    """
    A string in TOML, whose escapes are JSON's, but for two.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def string(text: str) -> Value:
    return Value(quoted(text), text)


sources = st.sampled_from(["tcp:8080", "mux:tcp:7000", "mux-dial:tcp:h:7000"])
targets = st.sampled_from(["tcp:h:80", "mux:tcp:h:7000", "mux-listen:tcp:7000"])
#: Endpoint strings that are none.
nonsense = st.sampled_from(["", "tcp", "tcp:x", "foo:1", "a\nb", "mux:", "mtls:1"])
others = st.sampled_from(
    ["[]", "{}", "[[1], []]", "1979-05-27", "07:32:00", "{ from = 1 }"]
).map(Value)
#: Neither strings nor numbers nor truth values.
numbers = st.one_of(
    st.integers(0, 10**9).map(lambda number: Value(str(number), float(number))),
    st.floats(0, 1e300).map(lambda number: Value(repr(number), number)),
)
noNumbers = st.sampled_from(["-1", "inf", "nan", "-0.1", "1e999", "true", '"1"'])
bools = st.booleans().map(lambda value: Value(str(value).lower(), value))
noBools = st.sampled_from(["0", "1", '"true"', "1.5", "[true]"]).map(Value)
noStrings = st.sampled_from(["0", "true", "1.5"]).map(Value) | others
comments = st.sampled_from(["", "# ", "# \u2028 \x85 é", "#[x]", "   "])
names = st.text(st.characters(codec="utf-8"), max_size=6)


def key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else quoted(name)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, TunnelConfig, set[tuple[int, str]]]:
    """
    A file, what it says, and what is wrong with it: lines, and keys in them.
    """
    lines: list[str] = []
    wrong: set[tuple[int, str]] = set()

    def put(path: list[str], good: Any, bad: Any) -> Any:
        """
        A line with a key.  What is said of a wrong value is the caller's affair.
        """
        lines.extend(draw(st.lists(comments, max_size=2)))
        isGood = draw(st.integers(0, 3)) > 0
        value: Value = draw(good if isGood else bad)
        lines.append(f"{key(path[-1])} = {value.text}")
        if not isGood:
            wrong.add((len(lines), ".".join(path)))
        return value.content if isGood else None

    drain: Any = DRAIN
    if draw(st.booleans()):
        drain = put(["drain"], numbers, noNumbers.map(Value) | others)
    insecure: Any = False
    if draw(st.booleans()):
        insecure = put(["insecure-carrier"], bools, noBools | others)
    where = token = None
    hasStatus = draw(st.booleans())
    if hasStatus:
        where = put(
            ["status"],
            st.sampled_from(["tcp:9000", "unix:/a"]).map(string),
            nonsense.map(string) | noStrings,
        )
    if draw(st.booleans()):
        token = put(["status-token"], st.just(string("correct-horse")), noStrings)
        if not hasStatus:
            wrong.add((len(lines), "status-token"))
    if draw(st.integers(0, 4)) == 0:
        put(["colour"], st.nothing() | noStrings, noStrings)
        wrong.add((len(lines), "colour"))
    tunnels = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        lines.extend(draw(st.lists(comments, max_size=2)))
        lines.append(f"[tunnels.{key(name)}]")
        path = ["tunnels", name]
        header = len(lines)
        values: dict[str, Any] = {"connect-timeout": CONNECT_TIMEOUT}
        for each in draw(st.permutations(["from", "to", "connect-timeout"])):
            if draw(st.integers(0, 5)) == 0:
                if each != "connect-timeout":
                    wrong.add((header, ".".join([*path, each])))
                continue
            good, bad = {
                "from": (sources.map(string), nonsense.map(string) | noStrings),
                "to": (targets.map(string), nonsense.map(string) | noStrings),
                "connect-timeout": (numbers, noNumbers.map(Value) | others),
            }[each]
            values[each] = put([*path, each], good, bad)
        tunnels.append((name, values))
    if not tunnels and not wrong:
        wrong.add((1, ""))
    config = TunnelConfig(
        tuple(
            Tunnel(
                name,
                values.get("from", ""),
                values.get("to", ""),
                values["connect-timeout"],
            )
            for name, values in tunnels
        ),
        drain,
        bool(insecure),
        StatusPage(where, token),
    )
    return "\n".join(lines) + "\n", config, wrong


@given(files())
def test_files(
    folder: Path, file: tuple[str, TunnelConfig, set[tuple[int, str]]]
) -> None:
    """
    A file is what it says; or all that is wrong with it is said, with the line and
    the key.
    """
    source, config, wrong = file
    content = source.encode()
    said = read(folder, content)
    if not wrong:
        assert said == config
        return
    assert isinstance(said, list)
    checkComplaints(said, content)
    if all(tunnel.name.isprintable() for tunnel in config.tunnels):
        found = set()
        for complaint in said:
            line, rest = complaint.split(": ", 1)
            known = {where for number, where in wrong if number == int(line)}
            match = [where for where in known if rest.startswith(where)]
            assert match, (complaint, wrong)
            found.add((int(line), max(match, key=len)))
        # Of a tunnel that lacks a string the other one is not looked at.
        assert found <= wrong
        broken = {where.rsplit(".", 1)[0] for _, where in wrong - found}
        assert all(where.startswith("tunnels.") for where in broken), wrong - found


# Anything.

GOOD = b"""\
drain = 5
insecure-carrier = true
status = "tcp:9000"
status-token = "correct-horse"

[tunnels.web]
from = "tcp:8080"
to = "mux:tcp:server.example:7000"
connect-timeout = 2.5
"""

pieces = st.sampled_from(
    [
        *(b"[", b"]", b"[[", b"{", b"}", b"=", b'"', b'"""', b"'", b"'''", b"\n"),
        *(b".", b",", b"#", b"tunnels", b"from", b"to", b"drain", b"1e400"),
        *(b"9" * 400, b"9" * 5000, b"\\u0000", b"\xff", b"\x85", b"\r\n", b"\r"),
        *(b"\xe2\x80\xa8", b"\0", b"1979-05-27", b"0x", b"inf", b"-", b"true"),
    ]
)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD)), pieces | st.binary(max_size=4))),
    st.integers(0, len(GOOD)),
)
@example([(len(GOOD), b"x = " + b"[" * 5000)], 0)
@example([(len(GOOD), b"x = " + b"[" * 100000 + b"]" * 100000)], 0)
@example([(8, b"9" * 400)], 0)
@example([(8, b"9" * 5000)], 0)
# The string does not end, and a lone CR does not end a line.
@example([(0, b"'"), (1, b"\r"), (1, b"\r")], 0)
@example([(8, b"0x" + b"f" * 5000)], 0)
@example([(8, b"\r")], 0)
# A lone CR is no end of a line in TOML.
@example([(100, b"\r"), (100, b"\r")], 99)
@example([(0, b"# \xe2\x80\xa8 \xc2\x85\n"), (8, b"-")], 0)
@example([(0, b"\xef\xbb\xbf")], 0)
def test_anything(folder: Path, changes: list[tuple[int, bytes]], cut: int) -> None:
    """
    Something put into a file, or a part of it left out: in most cases nonsense.
    """
    content = bytearray(GOOD)
    for place, piece in changes:
        content[place:place] = piece
    for start in (0, cut):
        said = read(folder, bytes(content[start:]))
        if isinstance(said, list):
            checkComplaints(said, bytes(content[start:]))


@given(st.binary(max_size=60))
def test_garbage(folder: Path, content: bytes) -> None:
    """
    What is no TOML at all.
    """
    said = read(folder, content)
    assert isinstance(said, list)
    checkComplaints(said, content)


def test_whatIsNoFile(folder: Path) -> None:
    """
    A folder, and what is not there, and what can't be.
    """
    for path in (str(folder), str(folder / "none"), "a\0b", "x" * 5000):
        with pytest.raises(BadConfig) as caught:
            readConfig(MemoryReactorClock(), path)
        assert len(caught.value.complaints) == 1


# The command line.

arguments = st.one_of(
    st.sampled_from(
        [
            *("--from", "--to", "--config", "--check", "--insecure-carrier"),
            *("--connect-timeout", "--drain", "--log-format", "--status"),
            *("--status-token", "-c", "--", "-", "--nothing", "--from=tcp:8080"),
            *("--to=tcp:h:80", "--drain=5", "--drain=nan", "--drain=" + "9" * 400),
            *("--connect-timeout=1e999", "--connect-timeout=x", "--log-format=json"),
            *("--status=tcp:8081", "--status=tcp:x", "--status=unix:/tmp/x"),
            *("--status-token=x", "--config=/nonexistent", "--config=/dev/null"),
            *("tcp:8080", "tcp:h:80", "mux:tcp:7000", "mux-listen:tcp:7000", "json"),
        ]
    ),
    st.text(max_size=8),
)


@given(st.lists(arguments, max_size=7))
@example(["--from", "tcp:8080", "--to", "tcp:h:80", "--check"])
@example(["--from", "tcp:8080", "--to", "tcp:h:80", "--config", "a\0b"])
@example(["--config", "a\0b", "--check"])
@example(["--status", "tcp:8080:self=x", "--from=tcp:1", "--to=tcp:h:1"])
def test_commandLine(words: list[str]) -> None:
    """
    It makes sense, or C{UsageError} says why not, or that was all there was to do.
    """
    options = Options()
    ended: object = None
    try:
        options.parseOptions(words)
    except usage.UsageError:
        return
    except SystemExit as error:
        ended = error.code
    if ended is None:
        assert options.config.tunnels
    else:
        # --check, --help, or what they can be abbreviated to.
        assert ended in (0, 1)
        assert any(word.startswith("--") for word in words)
