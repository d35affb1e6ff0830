"""
What C{docs/reference/limits.md} says of limits is so.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.attacks.test_limits import ATTACKS, Attack
from twisted_mux.accepting import MAX_WAITING
from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.carrier_session import HANDSHAKE_TIMEOUT
from twisted_mux.config import MuxConfig
from twisted_mux.endpoint_strings import _ADMISSION, _CONFIG
from twisted_mux.engine.liveness import _MOST_PINGS
from twisted_mux.engine.stream import CHUNK_CHARGE
from twisted_mux.socks.endpoint import TIMEOUT
from twisted_mux.socks.request import LIMIT
from twisted_mux.socks.service import REQUEST_TIMEOUT
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"
TEXT = PAGE.read_text()


def rows() -> dict[str, list[str]]:
    """
    The lines of the table, by their limits.
    """
    table = TEXT.partition("## Table")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table.splitlines()
        if line.startswith("| ")
    ][2:]
    found = {line[1].split("`")[1]: line for line in lines}
    assert len(found) == len(lines)
    return found


ROWS = rows()

#: What a session is told that is no bound on its peer.
NO_LIMITS = {
    "keepAlive",
    "maxFrame",
    "maxOutboundStreams",
    "maxUnacknowledged",
    "readSize",
    "opening",
    "goAway",
    "slowReader",
}


def test_allAreThere() -> None:
    """
    Every limit has a line, and the others are no limits.
    """
    assert set(ROWS) | NO_LIMITS == {each.name for each in fields(MuxConfig)}
    assert not set(ROWS) & NO_LIMITS


@pytest.mark.parametrize("limit", [each for each in ROWS if each[0] != "k"])
def test_defaults(limit: str) -> None:
    """
    The default is the one of the configuration.
    """
    value = getattr(MuxConfig(), limit)
    credit = codecNamed("yamux").capabilities
    if value is None:
        value = getattr(MuxConfig().forWire(credit), limit)
    number = re.match(r"[\d,]+", ROWS[limit][2])
    assert number is not None
    assert int(number[0].replace(",", "")) == value
    if limit == "receiveBudget":
        for wire in wireNames():
            can = codecNamed(wire).capabilities
            if can.credit is Credit.NONE:
                budget = MuxConfig().forWire(can).receiveBudget
                assert f"{budget:,} on the others" in ROWS[limit][2]


def test_keepAlive() -> None:
    """
    So are those that every wire has for itself.
    """
    said = ROWS["keepAliveTimeout"][2]
    default = {
        wire: MuxConfig().forWire(codecNamed(wire).capabilities).keepAliveTimeout
        for wire in wireNames()
    }
    assert default == {
        "mplex": 0,
        "netmux": 30,
        "smux1": 30,
        "smux2": 30,
        "vtmux": 0,
        "yamux": 10,
    }
    assert said == (
        "the wire's: 10 seconds after a ping on yamux, 30 on netmux, 30 of silence on "
        "smux1 and smux2, none on mplex and vtmux"
    )


@pytest.mark.parametrize("limit", ROWS)
def test_keys(limit: str) -> None:
    """
    What can be said in an endpoint string is marked with its key.
    """
    keys = {field: key for key, (field, _) in _CONFIG.items()}
    keys |= {field: key for key, field in _ADMISSION.items()}
    key = keys.get(limit)
    marked = re.search(r"\(`(mux\w+)`\)", ROWS[limit][1])
    assert (marked and marked[1]) == key


@pytest.mark.parametrize(
    "attack", [pytest.param(each, id=each.text) for each in ATTACKS if each.says]
)
def test_logged(attack: Attack) -> None:
    """
    What is logged is what the attacks find in the log, but for the figures.
    """

    def plain(text: str) -> str:
        return re.sub(r"\d+", "N", text)

    limit = "writeTimeout" if "writeTimeout" in attack.says else attack.limit
    assert plain(attack.says) in plain(ROWS[limit][4])


@pytest.mark.parametrize("limit", ROWS)
def test_goAway(limit: str) -> None:
    """
    What the peer gets is what the attacks find.
    """
    ends = {attack.ends for attack in ATTACKS if attack.limit == limit}
    ends -= {None}
    what = ROWS[limit][3]
    if limit in ("writeTimeout", "controlBacklog"):
        # It does not read a go-away.
        assert "go-away" not in what
    elif ends:
        (error,) = ends
        assert error is not None
        assert what == f'the session ends, go-away "{error.kind}"'
    else:
        assert "session ends" not in what


def test_constants() -> None:
    """
    Figures in the text that are no field of the configuration.
    """
    text = " ".join(TEXT.split())
    assert f"with at least {CHUNK_CHARGE} bytes a chunk" in text
    assert f"or {FRAMES_PER_TURN:,} frames, in a turn" in text
    assert f"A TLS handshake has {HANDSHAKE_TIMEOUT:g} seconds" in text
    assert f"{MAX_WAITING:,} connects at most wait" in text
    assert f"{_MOST_PINGS:,} pings at most" in text
    assert f"| its size | {LIMIT} bytes |" in text
    assert f"| its time | {REQUEST_TIMEOUT:g} seconds |" in text
    assert f"| {TIMEOUT:g} seconds; {CONNECT_TIMEOUT:g} seconds |" in text
