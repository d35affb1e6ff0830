"""
The soak over sockets, for some seconds; and that it finds what it is there to find.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import ROOT, environment
from tests.soak import page
from tests.soak.sockets import flat
from tests.soak.traffic import (
    ACCEPTER_ABORTS,
    EXCHANGE,
    OPENER_ABORTS,
    SEND_ONLY,
    Accepter,
    Header,
    Opener,
    Side,
    Tally,
)
from twisted_mux.testing import SessionPair
from twisted_mux.wire import wireNames

# Seconds for a run that takes twelve, on a machine that has others to do.
PATIENCE = 150


def test_short(tmp_path: Path) -> None:
    """
    Streams of both sides on all wires, carriers that are aborted, drained and cut,
    and a process that is killed: nothing is lost, and nothing left.
    """
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.soak", "sockets"),
            *("--minutes", "0.2", "--json", str(file)),
        ],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    assert figures["violations"] == []
    assert figures["faults"]["peer killed"] >= 1
    assert sum(figures["faults"].values()) >= 5
    for wire in wireNames():
        counts = figures["wires"][wire]
        assert min(counts["opened"], counts["accepted"], counts["ended"]) > 20
        assert "lostBytes" not in counts
    rows = page.render(figures).partition("## Faults")[0].count("\n| ")
    assert rows == 2 + len(wireNames()) + 1


def _run(
    wire: str, header: Header, damage: Callable[[bytes], bytes] | None = None
) -> Tally:
    pair = SessionPair(wire)
    side = Side(pair.clock, 1)
    opener, accepter = Opener(side, wire, header), Accepter(side, wire)
    if damage is not None:
        whole, damaged = accepter.dataReceived, damage
        accepter.dataReceived = lambda data: whole(damaged(data))  # type: ignore[method-assign]
    pair.connect(opener, accepter)
    pair.advance(60)
    pair.lose()
    pair.advance(1)
    assert not side.live
    assert opener.done.called
    return side.tally(wire)


@pytest.mark.parametrize("wire", wireNames())
@pytest.mark.parametrize("plan", [EXCHANGE, OPENER_ABORTS, ACCEPTER_ABORTS, SEND_ONLY])
def test_plans(wire: str, plan: int) -> None:
    """
    Each plan comes to the end that it should, and that is counted.
    """
    down = 0 if plan == SEND_ONLY else 2_000_000
    tally = _run(wire, Header(plan, 77, 1_000_000, 2**32 - 1, down, 5))
    assert not tally.violations
    if plan == EXCHANGE:
        assert tally.counts["endedBytes"] == 3_000_032
    if plan in (EXCHANGE, SEND_ONLY):
        assert tally.counts["done"] == 2
    else:
        assert tally.counts["aborted"] >= 1


def test_finds() -> None:
    """
    A byte that is missing, or another, is found on either side; so is a stream that
    does not end, or is dropped against the plan.
    """
    header = Header(EXCHANGE, 5, 500_000, 6, 300_000, 0)

    def shortened(data: bytes) -> bytes:
        return data[:-1] if len(data) > 1000 else data

    def changed(data: bytes) -> bytes:
        return data if len(data) < 1000 else data[:-1] + bytes([data[-1] ^ 1])

    lost = _run("yamux", header, shortened)
    assert lost.counts["lostBytes"] > 0
    assert "bytes were sent" in lost.violations[0]
    wrong = _run("yamux", header, changed)
    # The answer has the wrong hash, so that the opener notices as well.
    assert wrong.counts["wrongStreams"] == 2
    pair = SessionPair("yamux")
    side = Side(pair.clock, 1)
    opener, accepter = Opener(side, "yamux", header), Accepter(side, "yamux")
    pair.connect(opener, accepter)
    pair.pump()
    pair.carrier.stall()
    pair.clock.advance(10)
    side.checkAge(11)
    assert not side.tally("yamux").violations
    side.checkAge(9)
    pair.advance(0)
    assert len(side.tally("yamux").violations) == 2 + 2
    pair.lose()
    pair.advance(1)


def test_flat() -> None:
    """
    Memory that grows after the warm-up is noticed, and what it takes before is not.
    """
    assert flat([1000 * n for n in range(30)] + [100_000] * 70) == (
        100_000,
        100_000,
        True,
    )
    growing: list[int] = [100_000 + 200 * n for n in range(100)]
    begin, end, good = flat(growing)
    assert (begin < 110_000, end > 115_000, good) == (True, True, False)


def test_page() -> None:
    """
    The page is that of the figures, and those are of a run that found nothing.
    """
    figures: dict[str, Any] = json.loads(page.FIGURES.read_text())
    assert page.PAGE.read_text() == page.render(figures)
    assert figures["violations"] == []
