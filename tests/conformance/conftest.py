"""
What the tests that run on every wire share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from twisted_mux.testing import SessionPair
from twisted_mux.wire import wireNames


@pytest.fixture(params=wireNames())
def wire(request: pytest.FixtureRequest) -> str:
    """
    The name of each wire protocol.
    """
    name: str = request.param
    return name


@pytest.fixture
def makePair(wire: str) -> Iterator[Callable[..., SessionPair]]:
    """
    Makes pairs of sessions.  When a test is over their carriers are cut; after
    that no delayed call and no stream may be left.
    """
    pairs = []

    def make(**arguments: Any) -> SessionPair:
        pair = SessionPair(wire, **arguments)
        pairs.append(pair)
        return pair

    yield make
    for pair in pairs:
        pair.lose()
        # What is under way arrives, and nobody is there.
        pair.advance(1)
        for session in (pair.client, pair.server):
            assert session.over
            assert not session.engine.streams
            assert session.engine.held == 0
        assert not pair.clock.getDelayedCalls()


@pytest.fixture
def pair(makePair: Callable[..., SessionPair]) -> SessionPair:
    """
    A pair of sessions without any configuration.
    """
    return makePair()


class Outcome:
    """
    What became of a Deferred.

    @ivar results: its result, if there is one yet.
    """

    def __init__(self, deferred: Any) -> None:
        self.results: list[Any] = []
        self.deferred = deferred
        deferred.addBoth(self.results.append)

    @property
    def value(self) -> Any:
        """
        Its result, which there must be and no failure.
        """
        [result] = self.results
        assert not isinstance(result, Failure), result
        return result

    def failed(self, *types: type[BaseException]) -> Any:
        """
        The exception with which it failed, as it must have.
        """
        [result] = self.results
        assert isinstance(result, Failure), result
        assert isinstance(result.value, types), result
        return result.value


@pytest.fixture
def outcome() -> Callable[[Any], Outcome]:
    """
    Watches a Deferred.
    """
    return Outcome


def done(recorder: Any) -> bool:
    """
    Did the connection end in order?
    """
    return type(recorder.reason) is ConnectionDone
