"""
The states of a stream, every state with every event.
"""

from __future__ import annotations

from itertools import product

import pytest

from tests.property.pipe import Driver
from twisted_mux.engine.states import TRANSITIONS, Event, State
from twisted_mux.wire.base import Role

OPEN, LOCAL, REMOTE, CLOSED = State
SEND_END, RECEIVE_END, SEND_RESET, RECEIVE_RESET, LOSE = Event

#: C{None} where it must not happen.
EXPECTED = {
    (OPEN, SEND_END): LOCAL,
    (OPEN, RECEIVE_END): REMOTE,
    (OPEN, SEND_RESET): CLOSED,
    (OPEN, RECEIVE_RESET): CLOSED,
    (OPEN, LOSE): CLOSED,
    (LOCAL, SEND_END): None,
    (LOCAL, RECEIVE_END): CLOSED,
    (LOCAL, SEND_RESET): CLOSED,
    (LOCAL, RECEIVE_RESET): CLOSED,
    (LOCAL, LOSE): CLOSED,
    (REMOTE, SEND_END): CLOSED,
    (REMOTE, RECEIVE_END): None,
    (REMOTE, SEND_RESET): CLOSED,
    (REMOTE, RECEIVE_RESET): CLOSED,
    (REMOTE, LOSE): CLOSED,
    (CLOSED, SEND_END): None,
    (CLOSED, RECEIVE_END): None,
    (CLOSED, SEND_RESET): None,
    (CLOSED, RECEIVE_RESET): None,
    (CLOSED, LOSE): None,
}


def test_theTableIsWhole() -> None:
    assert set(EXPECTED) == set(product(State, Event))


@pytest.mark.parametrize(("state", "event"), list(EXPECTED))
def test_transitions(state: State, event: Event) -> None:
    """
    Every state with every event; what must not happen changes nothing.
    """
    after = EXPECTED[state, event]
    assert TRANSITIONS.get((state, event)) is after
    stream = Driver("yamux", Role.CLIENT).open().stream
    stream.state = state
    assert stream.advance(event) is (after is not None)
    assert stream.state is (after or state)
    assert stream.gone is (stream.state is State.CLOSED)


def test_theTableIsFixed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.CLOSED, Event.LOSE] = State.OPEN  # type: ignore[index]
