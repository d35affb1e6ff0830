"""
What tunnels and their carriers are doing, at one moment: plain figures.

They are made once a second, at most (L{twisted_mux.status.sampling}), and everybody who
wants to know is given the same: a page, a program, Prometheus.  So it costs the same
however many ask, and how often.

Figures that only grow (L{COUNTERS}) are also kept by wire and role, with those of
sessions that have ended: sessions come and go, and a sum that falls when one goes
would be of no use to anybody who computes rates from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twisted_mux.bridge import BridgeStatistics
from twisted_mux.statistics import SessionStatistics

__all__ = ["COUNTERS", "CarrierFigures", "Snapshot", "TunnelFigures", "WireFigures"]

#: The fields of L{SessionStatistics} that only grow.
COUNTERS = (
    "bytesReceived",
    "bytesSent",
    "streamsOpened",
    "streamsAccepted",
    "streamsRefused",
    "resetsReceived",
    "resetsSent",
)


@dataclass(frozen=True)
class CarrierFigures:
    """
    One carrier.

    @ivar number: which it is, in the order in which they were seen first.
    @ivar tunnels: the names of the tunnels that use it.
    @ivar state: C{"up"}, C{"draining"}, or C{"closing"} where no stream is left.
    @ivar seconds: since it was seen first.
    @ivar rateIn: bytes received per second, since the figures before.
    @ivar rateOut: bytes sent per second, likewise.
    @ivar statistics: all that the session tells.
    """

    number: int
    tunnels: tuple[str, ...]
    state: str
    seconds: float
    rateIn: float
    rateOut: float
    statistics: SessionStatistics


@dataclass(frozen=True)
class TunnelFigures:
    """
    One tunnel.

    @ivar name: how messages call it.
    @ivar source: where it listens, without what must stay secret.
    @ivar target: where it connects to, likewise.
    @ivar rateForward: bytes per second from those who connected, since the figures
        before.
    @ivar rateBack: bytes per second to them, likewise.
    @ivar statistics: all that the bridge tells.
    """

    name: str
    source: str
    target: str
    rateForward: float
    rateBack: float
    statistics: BridgeStatistics


@dataclass(frozen=True)
class WireFigures:
    """
    All sessions of one wire and one role together.

    @ivar wire: the name of the wire protocol.
    @ivar role: C{"client"} or C{"server"}.
    @ivar live: sessions that there are now.
    @ivar streams: streams on these.
    @ivar held: bytes held for readers that do not read.
    @ivar pausedReading: sessions whose carrier is not being read.
    @ivar pausedWriting: sessions whose carrier takes nothing now.
    @ivar roundTrip: the longest of their last round trips in seconds; 0 if none was
        measured.
    @ivar sessions: all sessions so far.
    @ivar counters: the sums of L{COUNTERS} over all sessions so far.
    """

    wire: str
    role: str
    live: int
    streams: int
    held: int
    pausedReading: int
    pausedWriting: int
    roundTrip: float
    sessions: int
    counters: Mapping[str, int]


@dataclass(frozen=True)
class Snapshot:
    """
    Everything.

    @ivar time: when that was, in the reactor's seconds.
    @ivar carriers: each carrier, in the order in which they were seen first.
    @ivar tunnels: each tunnel, those that are ending included.
    @ivar wires: the sums, for each wire and role that there have been.
    """

    time: float = 0.0
    carriers: tuple[CarrierFigures, ...] = ()
    tunnels: tuple[TunnelFigures, ...] = ()
    wires: tuple[WireFigures, ...] = ()
