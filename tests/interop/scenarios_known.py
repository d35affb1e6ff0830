"""
What is known of the peers: which options make them do what a scenario needs, and
where they differ from what their wire's other implementations do.

A new peer that does not differ needs nothing here.  C{NOTES.md} has more on each
difference.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Quirk(enum.Enum):
    """
    Something that one or another peer does, and most do not.
    """

    #: What it received and has not read is lost when both directions ended.
    LOSES_AT_HALF_CLOSE = enum.auto()
    #: A reader can't tell a reset from an end.
    RESET_READS_AS_END = enum.auto()
    #: It frames payload in a way that nobody else can read.
    BROKEN_VERSION = enum.auto()
    #: In place of refusing a stream it ends the session.
    REFUSES_BY_GO_AWAY = enum.auto()
    #: It ends its streams when it receives a go-away.
    GO_AWAY_ENDS_STREAMS = enum.auto()
    #: It acknowledges a stream with what it first writes on it.
    ACKNOWLEDGES_LATE = enum.auto()
    #: It may leave the carrier open when it closes the session.
    LEAVES_OPEN = enum.auto()
    #: Long writes are sent twice in part while other streams send.
    SENDS_TWICE = enum.auto()
    #: Data that gets to it right after it has reset the stream ends its session.
    RESETS_IN_TWO_STEPS = enum.auto()


@dataclass(frozen=True)
class Known:
    """
    What is known of one implementation.

    @ivar quirks: how it differs, in words for the table.
    @ivar many: how many streams one after the other it manages in reasonable
        time.
    @ivar whyNotMore: why these are fewer.
    @ivar refuses: options with which it refuses a second stream.
    @ivar largeWindow: options that make its windows 1 MiB.
    @ivar smallWindow: options that make its windows 16 KiB.
    @ivar timesOut: options with which it gives a silent session up after 300
        ms.
    @ivar keepsAlive: options with which it sends a frame each 75 ms.
    """

    quirks: Mapping[Quirk, str] = field(default_factory=dict)
    many: int = 2000
    whyNotMore: str = ""
    refuses: Mapping[str, int] = field(default_factory=dict)
    largeWindow: Mapping[str, int] = field(default_factory=dict)
    smallWindow: Mapping[str, int] = field(default_factory=dict)
    timesOut: Mapping[str, int] = field(default_factory=dict)
    keepsAlive: Mapping[str, int] = field(default_factory=dict)


_MIB = 1024 * 1024
_TIMES = {"keepalive": 75, "keepalive_timeout": 300}

#: By the names in L{tests.interop.peers.IMPLEMENTATIONS}, or by name and wire.
KNOWN: dict[str, Known] = {
    "go-smux": Known(
        {
            Quirk.LOSES_AT_HALF_CLOSE: (
                "When both directions have ended it throws away what it received "
                "and has not read: a reader that ended its own direction first gets "
                "little or none of the data."
            ),
        },
        largeWindow={"window": _MIB},
        smallWindow={"window": 16384},
        timesOut=_TIMES,
        keepsAlive={"keepalive": 75, "keepalive_timeout": 10_000},
    ),
    "hashicorp-yamux": Known(
        refuses={"backlog": 1, "accepting": 0},
        largeWindow={"window": _MIB},
        timesOut=_TIMES,
    ),
    "go-yamux": Known(
        {
            Quirk.GO_AWAY_ENDS_STREAMS: (
                "A go-away that it receives ends its live streams, too."
            )
        },
        refuses={"max_streams": 1},
        largeWindow={"window": _MIB},
        timesOut=_TIMES,
    ),
    "net-mux": Known(
        {
            Quirk.GO_AWAY_ENDS_STREAMS: (
                "A go-away that it receives ends its live streams, too."
            ),
            Quirk.RESETS_IN_TWO_STEPS: (
                "Data that gets to it in the moment after it has reset the stream, "
                "before it has forgotten that, ends its session."
            ),
        },
        refuses={"max_streams": 1},
        largeWindow={"window": _MIB},
        smallWindow={"window": 16384},
        timesOut=_TIMES,
    ),
    "rust-smux": Known(
        {
            Quirk.LEAVES_OPEN: (
                "When it closes the session the carrier at times stays open, and "
                "silent, until we give it up."
            )
        },
        many=500,
        whyNotMore="its reader spins, so that each round trip takes 8 ms and more",
        timesOut=_TIMES,
        keepsAlive={"keepalive": 75, "keepalive_timeout": 10_000},
    ),
    "rust-smux/smux2": Known(
        {
            Quirk.BROKEN_VERSION: (
                "Its version 2 marks data and ends as version 1: nobody who checks "
                "can talk to it, and the Go implementation can't."
            )
        }
    ),
    "vt-muxer": Known(
        {
            Quirk.SENDS_TWICE: (
                "A write that is longer than what is left of its buffer (65,535 "
                "bytes) is sent twice in part if another stream is just being "
                "sent. With writes of a third of that, nothing is."
            )
        }
    ),
    "rust-yamux": Known(
        {
            Quirk.GO_AWAY_ENDS_STREAMS: (
                "A go-away that it receives ends its live streams, too."
            ),
            Quirk.RESET_READS_AS_END: "Its readers can't tell a reset from an end.",
            Quirk.REFUSES_BY_GO_AWAY: (
                "Over its limit it refuses no stream: it sends a go-away with an error."
            ),
            Quirk.ACKNOWLEDGES_LATE: (
                "It acknowledges a stream with what it first writes on it: an opener "
                "that waits for that before it writes waits for ever."
            ),
        },
        refuses={"max_streams": 1},
    ),
}


def knownOf(name: str, wire: str) -> Known:
    """
    What is known of an implementation on a wire.
    """
    return KNOWN.get(f"{name}/{wire}") or KNOWN.get(name) or Known()
