"""
Is the peer still there, and how far away is it?
"""

from __future__ import annotations

import pytest

from twisted_mux.engine.liveness import Liveness


def never() -> None:
    raise AssertionError("no probe is due")


def test_off() -> None:
    liveness = Liveness(0, 0, 100.0)
    assert liveness.next() is None
    assert liveness.tick(1e9, True, never) == 0
    assert liveness.tick(1e9, False, never) == 0
    liveness.ping(1e9)
    assert liveness.next() is None
    assert liveness.tick(2e9, True, never) == 0


def test_probes() -> None:
    """
    One per interval; a late one is not made up for.
    """
    probes: list[float] = []
    liveness = Liveness(10, 0, 100.0)
    assert liveness.next() == 110
    for now, due in ((109.0, 110), (110.0, 120), (119.0, 120), (145.0, 155)):
        liveness.tick(now, True, lambda now=now: probes.append(now))  # type: ignore[misc]
        assert liveness.next() == due
    assert probes == [110, 145]


def test_aPing() -> None:
    liveness = Liveness(0, 10, 0.0)
    pinging = [liveness.pinging]
    value = liveness.ping(1.0)
    pinging.append(liveness.pinging)
    assert liveness.next() == 11
    assert liveness.pong(value, 1.5) == 0.5
    pinging.append(liveness.pinging)
    assert pinging == [False, True, False]
    assert liveness.next() is None
    assert liveness.roundTrip == liveness.lastRoundTrip == 0.5
    assert liveness.measured


def test_aPongUnasked() -> None:
    liveness = Liveness(0, 0, 0.0)
    value = liveness.ping(0.0)
    assert liveness.pong(value + 1, 1.0) is None
    assert liveness.pong(value, 1.0) == 1
    assert liveness.pong(value, 1.0) is None


def test_theShortestRoundTrip() -> None:
    liveness = Liveness(0, 0, 0.0)
    for seconds, shortest in ((0.5, 0.5), (0.2, 0.2), (0.9, 0.2)):
        liveness.pong(liveness.ping(0.0), seconds)
        assert liveness.lastRoundTrip == seconds
        assert liveness.roundTrip == shortest


def test_aRoundTripOfNoTime() -> None:
    """
    On a clock that is too coarse a ping is answered at once; that was measured,
    too.
    """
    liveness = Liveness(0, 0, 0.0)
    assert liveness.pong(liveness.ping(1.0), 1.0) == 0
    assert liveness.measured
    assert liveness.roundTrip == 0


def test_estimates() -> None:
    """
    They are upper bounds, so the shortest counts; what is measured counts more.
    """
    liveness = Liveness(0, 0, 0.0)
    for seconds, known in ((0.0, 0.0), (3.0, 3.0), (4.0, 3.0), (2.0, 2.0)):
        liveness.estimate(seconds)
        assert liveness.roundTrip == known
        assert not liveness.measured
    liveness.pong(liveness.ping(0.0), 5.0)
    assert liveness.roundTrip == 5
    liveness.estimate(1.0)
    assert liveness.roundTrip == 5


def test_silenceAfterAPing() -> None:
    """
    The peer is given up when nothing at all has come for so long after a ping.
    """
    liveness = Liveness(0, 10, 0.0)
    assert liveness.tick(1000.0, True, never) == 0
    liveness.ping(1000.0)
    assert liveness.tick(1009.9, True, never) == 0
    assert liveness.tick(1010.0, True, never) == 10
    # Anything that comes puts it off; the pong need not be first.
    liveness.lastReceived = 1009.0
    assert liveness.next() == 1019
    assert liveness.tick(1018.9, True, never) == 0
    assert liveness.tick(1020.0, True, never) == 11


def test_theFirstPingCounts() -> None:
    liveness = Liveness(0, 10, 0.0)
    liveness.ping(1.0)
    liveness.ping(8.0)
    assert liveness.tick(11.0, True, never) == 10


def test_silenceWithoutPings() -> None:
    """
    On wires without an answered ping it counts from the last byte.
    """
    liveness = Liveness(10, 30, 0.0)
    liveness.lastReceived = 5.0
    assert liveness.tick(34.9, False, lambda: None) == 0
    assert liveness.tick(35.0, False, lambda: None) == 30


def test_tooManyPings() -> None:
    liveness = Liveness(0, 0, 0.0)
    values = [liveness.ping(0.0) for _ in range(1024)]
    assert len(set(values)) == 1024
    assert liveness.full
    liveness.pong(values[7], 1.0)
    assert not liveness.full


@pytest.mark.parametrize("start", [0, 0xFFFFFFFE])
def test_valuesAre32Bits(start: int) -> None:
    liveness = Liveness(0, 0, 0.0)
    liveness._value = start
    values = [liveness.ping(0.0) for _ in range(4)]
    assert len(set(values)) == 4
    assert all(0 <= value <= 0xFFFFFFFF for value in values)
