"""
The arithmetic of windows.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mux.engine.credit import (
    UNBOUNDED,
    Tuner,
    addCredit,
    grantStep,
    windowCredit,
)
from twisted_mux.errors import FlowControlError

KIB = 1024
MIB = 1024 * KIB
WRAP = 2**32

counters = st.integers(0, 2**40)
windows = st.integers(1, 2**30)


@pytest.mark.parametrize(
    ("window", "step"),
    [
        (1, 1),
        (2, 1),
        (3, 2),
        (256 * KIB, 96 * KIB),
        (256 * KIB + 1, 96 * KIB),
        (1 * MIB, 128 * KIB),
        (2 * MIB, 256 * KIB),
        (16 * MIB, 2 * MIB),
    ],
)
def test_grantStep(window: int, step: int) -> None:
    """
    Three eighths of an ordinary window, an eighth of a large one.
    """
    assert grantStep(window) == step


@given(windows)
def test_grantStepIsWithinTheWindow(window: int) -> None:
    """
    What is never reached would never be granted; and there is no cliff where a
    wider window grants in smaller steps.
    """
    assert 1 <= grantStep(window) <= window
    assert grantStep(window) <= grantStep(window + 1)


@given(counters, counters, counters)
def test_addCredit(credit: int, delta: int, maximum: int) -> None:
    """
    A sum, or an error that names it.
    """
    if credit + delta <= maximum:
        assert addCredit(credit, delta, maximum) == credit + delta
    else:
        with pytest.raises(FlowControlError, match=str(credit + delta)):
            addCredit(credit, delta, maximum)


@given(counters, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_windowCredit(sent: int, underWay: int, window: int) -> None:
    """
    However often the peer's counter has wrapped, what is under way counts
    against its window.
    """
    consumed = (sent - underWay) % WRAP
    assert windowCredit(sent, consumed, window) == window - underWay


@given(counters, st.integers(1, 2**31))
def test_consumedMoreThanWasSent(sent: int, excess: int) -> None:
    with pytest.raises(FlowControlError, match=f"{excess} bytes more than the {sent} "):
        windowCredit(sent, (sent + excess) % WRAP, 2**31 - 1)


@pytest.mark.parametrize("before", [WRAP - 1, WRAP - 1000, WRAP, WRAP + 1])
def test_wrapping(before: int) -> None:
    """
    Nothing special happens where the counter starts over.
    """
    for sent in range(before, before + 3):
        assert windowCredit(sent, sent % WRAP, 1000) == 1000
        assert windowCredit(sent + 10, sent % WRAP, 1000) == 990


def test_shrinkingWindow() -> None:
    """
    A window that was made narrower than what is under way gives a debt.
    """
    assert windowCredit(5000, 1000, 1000) == -3000
    assert windowCredit(5000, 4000, 1000) == 0
    assert windowCredit(5000, 5000, 0) == 0


def test_unboundedIsSmall() -> None:
    """
    The counters of wires without credit don't grow into long integers.
    """
    assert 0 < UNBOUNDED < 2**30


class Link:
    """
    A sender that has all there is to send, a receiver that takes everything at
    once, and a delay between them: only what the L{Tuner} decides is real.

    @ivar window: the receiver's window, now.
    """

    def __init__(
        self,
        window: int,
        roundTrip: float,
        rate: float,
        *,
        exact: bool = True,
        maximum: int = 16 * MIB,
    ) -> None:
        """
        @param rate: bytes per second that the sender sends when nothing holds
            it up.
        """
        self.roundTrip = roundTrip
        self.rate = rate
        self.measured = roundTrip
        self.exact = exact
        self.maximum = maximum
        self.now = 0.0
        self.tuner: Tuner | None = None
        self.window = window
        self.allowed = float(window)
        self.sent = 0.0
        self.received = 0
        self.granted = window
        self.estimate = 0.0
        self._grants: list[tuple[float, int]] = []
        self._arrivals: list[tuple[float, float]] = []

    def step(self, seconds: float, wanted: float | None = None) -> None:
        """
        Let time pass.

        @param wanted: bytes that the sender has to send in it; without, all
            that its rate allows.
        """
        self.now += seconds
        while self._grants and self._grants[0][0] <= self.now:
            self.allowed = max(self.allowed, self._grants.pop(0)[1])
        wish = self.rate * seconds if wanted is None else wanted
        send = min(wish, self.allowed - self.sent)
        self.sent += send
        self._arrivals.append((self.now + self.roundTrip / 2, self.sent))
        while self._arrivals and self._arrivals[0][0] <= self.now:
            self._arrived(int(self._arrivals.pop(0)[1]))

    def _arrived(self, received: int) -> None:
        self.received = received
        step = grantStep(self.window)
        if self.window - (self.granted - received) < step:
            return
        if self.tuner is None:
            self.tuner = Tuner(self.window, received, self.now)
        tuner = self.tuner
        seen = tuner.roundTrip(received, self.now)
        if seen and not 0 < self.estimate <= seen:
            self.estimate = seen
        roundTrip = self.measured if self.exact else self.estimate
        wanted = tuner.wanted(received, roundTrip, self.exact, self.now)
        tuner.window = self.window = min(wanted, self.maximum)
        tuner.granted(self.granted, self.now)
        self.granted = received + self.window
        self._grants.append((self.now + self.roundTrip / 2, self.granted))


# Nearer ones are in test_peersThatAreNear.
trips = st.floats(0.002, 0.5)


@given(
    trips, st.floats(0.01, 0.5), st.sampled_from([64, 256, 512, 2048]), st.booleans()
)
def test_aSlowStreamNeverGrows(
    roundTrip: float, share: float, kibibytes: int, exact: bool
) -> None:
    """
    A stream that sends well less in a round trip than a window always lets it is
    never held up, so its window stays.  (Where the round trip can only be
    estimated it may be doubled, but not time and again.)
    """
    window = kibibytes * KIB
    rate = share * (window - grantStep(window)) / roundTrip
    link = Link(window, roundTrip, rate, exact=exact)
    for _ in range(1000):
        link.step(roundTrip / 4)
    assert link.window <= (window if exact else 4 * window)


@given(
    trips,
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 256 * KIB)), max_size=15),
)
def test_anIdleStreamNeverGrows(
    roundTrip: float, writes: list[tuple[float, int]]
) -> None:
    """
    Neither does one that writes up to a whole window at once, and then nothing
    for four round trips or more.
    """
    link = Link(256 * KIB, roundTrip, 1e9)
    for pause, size in writes:
        for _ in range(8):
            link.step(roundTrip / 1000, size / 8)
        for _ in range(16):
            link.step(roundTrip / 4, 0)
        link.step(pause, 0)
    assert link.window == 256 * KIB


@given(st.floats(0.002, 0.1), st.lists(st.floats(0.4, 10), max_size=30), st.booleans())
def test_aSlowReaderDoesNotGrow(
    roundTrip: float, pauses: list[float], exact: bool
) -> None:
    """
    A reader that lets a window fill, then takes all of it, then pauses for
    longer than a few round trips, gets no wider one, whatever the sender could
    send.
    """
    window = 256 * KIB
    tuner, consumed = Tuner(window, 0, 0.0), 0
    now = 0.0
    for pause in pauses:
        now += pause
        for _ in range(8):
            consumed += window // 8
            assert tuner.wanted(consumed, roundTrip, exact, now) == window


@given(
    trips,
    st.floats(0.7, 7),
    st.sampled_from([64 * KIB, 256 * KIB, 1 * MIB]),
    st.floats(1, 1.2),
)
def test_aSenderThatIsHeldUpGrows(
    roundTrip: float, factor: float, window: int, jitter: float
) -> None:
    """
    A sender that could send more in a round trip than its window lets it gets a
    wider one, until it is held up no longer.  The round trip may have been
    somewhat shorter when it was measured.
    """
    link = Link(window, roundTrip, factor * window / roundTrip)
    link.measured = roundTrip / jitter
    for _ in range(700):
        link.step(roundTrip / 20)
    held = factor * window / (window - grantStep(window))
    assert held < 1.3 or link.window > window
    sent = link.sent
    for _ in range(200):
        link.step(roundTrip / 20)
    # Time passes in steps here, which costs a little.
    assert (link.sent - sent) / (link.rate * roundTrip * 10) >= 0.85


@given(
    trips,
    st.floats(1, 100),
    st.sampled_from([64 * KIB, 256 * KIB, 1 * MIB]),
    st.sampled_from([1000, 1400, 16 * KIB, 32 * KIB - 8, 32 * KIB]),
)
def test_aSenderThatIsHeldUpGrowsWithoutPings(
    roundTrip: float, factor: float, window: int, frame: int
) -> None:
    """
    So does one whose round trip can only be estimated, wherever its frames end.
    """
    link = Link(window, roundTrip, 1e12, exact=False)
    wanted, sent = 0.0, 0
    for _ in range(600):
        wanted += factor * window / 20
        size = int(wanted - sent) // frame * frame
        sent += size
        before = link.sent
        link.step(roundTrip / 20, size)
        # What could not be sent is given up.
        sent -= size - int(link.sent - before)
        wanted = min(wanted, sent + 2 * frame)
    assert link.window > window


@given(trips, st.floats(2, 40))
def test_itDoesNotGrowWithoutEnd(roundTrip: float, factor: float) -> None:
    """
    A window holds no more than a few of the round trips that it is for.
    """
    window = 256 * KIB
    link = Link(window, roundTrip, factor * window / roundTrip, maximum=2**40)
    for _ in range(800):
        link.step(roundTrip / 20)
    assert link.window <= 8 * factor * window


@pytest.mark.parametrize("exact", [True, False])
def test_peersThatAreNear(exact: bool) -> None:
    """
    A round trip that is very short, or not known, counts as two milliseconds.
    """
    tuner = Tuner(1000, 0, 0.0)
    # 100 bytes a millisecond: 200 in a round trip.
    assert tuner.wanted(100_000, 0.0, exact, 1.0) == 1000
    # Too soon to say, however many.
    assert tuner.wanted(200_000, 0.0001, exact, 1.001) == 1000
    # 300 more bytes in three milliseconds, and 900 more.
    assert tuner.wanted(100_300, 0.0001, exact, 1.003) == 1000
    assert tuner.wanted(101_200, 0.0001, exact, 1.006) == 2000


def test_theFirstGrantSaysNothing() -> None:
    """
    Nobody knows how long the stream took for what was taken before it.
    """
    tuner = Tuner(1000, 10**9, 5.0)
    assert tuner.wanted(10**9, 0.1, True, 5.0) == 1000
    assert tuner.wanted(10**9 + 300, 0.1, True, 5.1) == 1000
    assert tuner.wanted(10**9 + 1000, 0.1, True, 5.2) == 2000


def test_grantsAtTheSameMoment() -> None:
    """
    Grants within a round trip of each other are taken together.
    """
    tuner = Tuner(1000, 0, 5.0)
    assert tuner.wanted(500, 1.0, True, 5.0) == 1000
    assert tuner.wanted(600, 1.0, True, 5.9) == 1000
    assert tuner.wanted(600, 1.0, True, 6.0) == 2000


def test_anEstimateCountsLess() -> None:
    """
    At the threshold a measured round trip makes the window grow, and an
    estimate, which can only be too long, does not.
    """
    for exact, window in ((True, 2000), (False, 1000)):
        tuner = Tuner(1000, 0, 0.0)
        assert tuner.wanted(417, 1.0, exact, 1.0) == window


def test_roundTripFromGrants() -> None:
    """
    From a grant to the first byte beyond what was allowed before it.
    """
    tuner = Tuner(1000, 0, 0.0)
    assert tuner.roundTrip(1000, 1.0) == 0
    tuner.granted(1000, 1.0)
    assert tuner.roundTrip(1000, 1.1) == 0
    # While one is being measured others aren't.
    tuner.granted(1500, 1.2)
    assert tuner.roundTrip(1001, 1.25) == 0.25
    # It was, now.
    assert tuner.roundTrip(1002, 1.3) == 0
    tuner.granted(2000, 2.0)
    assert tuner.roundTrip(2001, 2.5) == 0.5
