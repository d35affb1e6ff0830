"""
Budgets.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mux.engine.limits import RecentKeys, Timeouts, TokenBucket

# Binary fractions, so that sums are exact.
moments = st.integers(0, 4000).map(lambda quarters: quarters / 4)


def test_aBurst() -> None:
    bucket = TokenBucket(3, 0, 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert not bucket.take(1e9)


def test_aRate() -> None:
    bucket = TokenBucket(2, 0.5, 10.0)
    assert bucket.take(10.0, 2)
    assert not bucket.take(11.0)
    assert bucket.take(12.0)
    assert not bucket.take(13.75)
    assert bucket.take(14.0)


def test_tooMuchTakesNothing() -> None:
    bucket = TokenBucket(10, 0, 0.0)
    assert not bucket.take(0.0, 11)
    assert bucket.take(0.0, 10)


def test_anEmptyBucket() -> None:
    assert not TokenBucket(0, 0, 0.0).take(100.0)


def test_itFillsNoHigherThanABurst() -> None:
    """
    Time in which the bucket was full brings nothing, also if somebody takes from
    it afterwards.
    """
    bucket = TokenBucket(10, 1, 0.0)
    assert bucket.take(0.0)
    # Full again at 1 already.
    assert bucket.take(100.0, 9)
    assert bucket.take(100.0)
    assert not bucket.take(100.0)


@given(
    st.integers(1, 20),
    st.integers(0, 16).map(lambda quarters: quarters / 4),
    st.lists(st.tuples(moments, st.integers(1, 5)), max_size=60),
)
def test_asALeakyCounter(
    burst: int, rate: float, asks: list[tuple[float, int]]
) -> None:
    """
    It says yes exactly if a bucket does that is filled at every moment.
    """
    bucket = TokenBucket(burst, rate, 0.0)
    tokens, last = float(burst), 0.0
    for now, amount in sorted(asks):
        tokens = min(float(burst), tokens + (now - last) * rate)
        last = now
        expected = tokens >= amount
        assert bucket.take(now, amount) is expected
        if expected:
            tokens -= amount


def test_timeouts() -> None:
    timeouts: Timeouts[str] = Timeouts(5)
    assert timeouts.next() is None
    assert list(timeouts.expired(1000.0)) == []
    timeouts.start("a", 0.0)
    timeouts.start("b", 1.0)
    assert len(timeouts) == 2
    assert "a" in timeouts
    assert timeouts.next() == 5
    assert list(timeouts.expired(4.99)) == []
    assert list(timeouts.expired(5.0)) == ["a"]
    assert "a" not in timeouts
    assert timeouts.next() == 6
    timeouts.pop("b", None)
    timeouts.pop("b", None)
    assert timeouts.next() is None


def test_startedAfresh() -> None:
    timeouts: Timeouts[str] = Timeouts(5)
    timeouts.start("a", 0.0)
    timeouts.start("b", 1.0)
    timeouts.start("a", 2.0)
    assert list(timeouts.expired(6.0)) == ["b"]
    assert timeouts.next() == 7


def test_forEver() -> None:
    """
    A time of 0 never comes.
    """
    timeouts: Timeouts[str] = Timeouts(0)
    timeouts.start("a", 0.0)
    assert timeouts.next() is None
    assert list(timeouts.expired(1e9)) == []
    timeouts.clear()
    assert len(timeouts) == 0


def test_startedWhileTheyExpire() -> None:
    """
    What is started again meanwhile, with a later time, is not due yet; what was
    stopped is not given.
    """
    timeouts: Timeouts[str] = Timeouts(5)
    for name in "abc":
        timeouts.start(name, 0.0)
    seen = []
    for name in timeouts.expired(5.0):
        seen.append(name)
        timeouts.start(name, 5.0)
        timeouts.pop("b", None)
    assert seen == ["a", "c"]
    assert timeouts.next() == 10


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(["start", "stop"])), max_size=50
    )
)
def test_timeoutsAsAModel(steps: list[tuple[int, str]]) -> None:
    """
    What is due comes in the order in which it was started last.
    """
    timeouts: Timeouts[int] = Timeouts(10)
    model: dict[int, int] = {}
    for now, (item, what) in enumerate(steps):
        model.pop(item, None)
        if what == "start":
            timeouts.start(item, now)
            model[item] = now + 10
        else:
            timeouts.pop(item, None)
    assert len(timeouts) == len(model)
    assert timeouts.next() == min(model.values(), default=None)
    assert list(timeouts.expired(1e6)) == sorted(model, key=lambda each: model[each])


@pytest.mark.parametrize("most", [1, 2, 10, 1024])
def test_recentKeys(most: int) -> None:
    """
    At least so many are remembered, and not many more.
    """
    recent = RecentKeys(most)
    for key in range(5 * most):
        recent.add(key)
        assert all(old in recent for old in range(max(0, key - most + 1), key + 1))
        assert key - 2 * most - 2 not in recent
    assert "never" not in recent


def test_aKeyAgain() -> None:
    """
    A key that goes away again is the newest one.
    """
    recent = RecentKeys(2)
    for key in (1, 2, 3, 1, 4, 5):
        recent.add(key)
    assert 5 in recent
    recent.add(6)
    recent.add(7)
    assert 1 not in recent
    assert 6 in recent
