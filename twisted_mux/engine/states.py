"""
The states of a stream and what may happen in each, as a table.

A stream has two directions, and each ends once.  What is not in L{TRANSITIONS}
must not happen: as a request of ours it is a bug above, as a frame of the
peer's it breaks the protocol (or is ignored, or costs the stream: see
L{twisted_mux.wire.base.Breach}).

A stream has gone from the session's table when it is C{CLOSED}.  Whether the
application still has it is another question: it may have left a stream whose
peer has not ended yet (it lingers), or still have data to read from one whose
both directions have ended.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class State(enum.Enum):
    """
    Which directions of a stream have ended.
    """

    # By identity; Enum's own is by name, and slower.
    __hash__ = object.__hash__

    OPEN = "open"
    #: We have sent our end; the peer may still send.
    LOCAL_ENDED = "local ended"
    #: The peer has sent its end; we may still send.
    REMOTE_ENDED = "remote ended"
    CLOSED = "closed"


# An attribute of an enum class takes CPython 3.11 some 50 ns, as it has a metaclass with a
# C{__getattr__}; and a stream's life has two dozen of them.
OPEN: Final = State.OPEN
LOCAL_ENDED: Final = State.LOCAL_ENDED
REMOTE_ENDED: Final = State.REMOTE_ENDED
CLOSED: Final = State.CLOSED


class Event(enum.Enum):
    """
    What happens to a stream.
    """

    # By identity; Enum's own is by name, and slower.
    __hash__ = object.__hash__

    SEND_END = "send end"
    RECEIVE_END = "receive end"
    SEND_RESET = "send reset"
    RECEIVE_RESET = "receive reset"
    #: The session ended, or the carrier was lost.
    LOSE = "lose"


SEND_END: Final = Event.SEND_END
RECEIVE_END: Final = Event.RECEIVE_END
SEND_RESET: Final = Event.SEND_RESET
RECEIVE_RESET: Final = Event.RECEIVE_RESET
LOSE: Final = Event.LOSE


def _table() -> dict[tuple[State, Event], State]:
    table: dict[tuple[State, Event], State] = {
        (State.OPEN, Event.SEND_END): State.LOCAL_ENDED,
        (State.OPEN, Event.RECEIVE_END): State.REMOTE_ENDED,
        (State.LOCAL_ENDED, Event.RECEIVE_END): State.CLOSED,
        (State.REMOTE_ENDED, Event.SEND_END): State.CLOSED,
    }
    for state in (State.OPEN, State.LOCAL_ENDED, State.REMOTE_ENDED):
        for event in (Event.SEND_RESET, Event.RECEIVE_RESET, Event.LOSE):
            table[state, event] = State.CLOSED
    return table


_TABLE = _table()
#: The state after an event; a pair that is not here must not happen.
TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(_TABLE)
#: The same, looked up faster: C{None} for a pair that must not happen.
stateAfter = _TABLE.get


def _following(event: Event) -> dict[State, State]:
    return {before: after for (before, each), after in _TABLE.items() if each is event}


#: What follows upon the two events that are in most streams' lives, by the state
#: before; so no pair has to be made.
AFTER_SEND_END: Final = _following(SEND_END)
#: The other: C{None} for a state in which it must not happen.
afterReceiveEnd = _following(RECEIVE_END).get
