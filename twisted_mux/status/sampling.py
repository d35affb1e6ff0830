"""
Looks at tunnels and carriers at regular times, and remembers the last minutes.

B{What it costs.}  Nothing is counted for it that is not counted anyway, and nothing is
called while data moves: a sample asks every session and every bridge for its figures,
which it has at hand.  So a sample takes time in proportion to the number of carriers
and tunnels, not of streams, and what is kept is bounded (L{KEPT} rows of numbers), also
while nobody looks.  One L{LoopingCall} does it: a sample that was missed is not made up
for, and rates are by the time that has really passed.

B{Sessions that end} take their figures with them; so each is asked once more when its
carrier is closed, and its counters are added to those of its wire.  (What came and went
between two samples was never seen.)

B{Round trips} are what pings have measured.  Keep-alive sends few of them, or none, so
one is sent here when a session is new, and now and then (L{PING_EVERY}), where the wire
has such, and none while another waits for its answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall

from twisted_mux.bridge import Bridge, BridgeStatistics
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.masking import masked
from twisted_mux.snapshot import (
    COUNTERS,
    CarrierFigures,
    Snapshot,
    TunnelFigures,
    WireFigures,
)
from twisted_mux.statistics import SessionStatistics

if TYPE_CHECKING:
    from twisted_mux.tunnel import RunningTunnel

__all__ = ["COLUMNS", "INTERVAL", "KEPT", "PING_EVERY", "Sampler"]

#: Seconds between two samples.
INTERVAL = 1.0
#: How many samples are kept: five minutes of them.
KEPT = 300
#: Every so many samples each session is pinged.
PING_EVERY = 5
#: What a row of the past is made of.  Rates are bytes per second, C{roundTrip} is in
#: seconds, or C{None}; C{errors} are connections and streams that were refused or
#: reset since the row before.
COLUMNS = (
    "time",
    "carriers",
    "streams",
    "connections",
    "rateIn",
    "rateOut",
    "rateForward",
    "rateBack",
    "roundTrip",
    "held",
    "errors",
)
_ERRORS = ("streamsRefused", "resetsReceived", "resetsSent")


@dataclass
class _Seen:
    """
    A session that is being watched.

    @ivar pinging: does a ping wait for its answer?
    """

    session: CarrierSession
    number: int
    since: float
    tunnels: tuple[str, ...]
    last: SessionStatistics
    rateIn: float = 0.0
    rateOut: float = 0.0
    pinging: bool = False


def _noCounters() -> dict[str, int]:
    return dict.fromkeys(("sessions", *COUNTERS), 0)


class Sampler:
    """
    Makes samples, from C{start} to C{stop}.

    @ivar snapshot: the last one.
    @ivar history: rows as of L{COLUMNS}, the oldest first.
    @ivar started: when that was.
    """

    def __init__(
        self, reactor: Any, tunnels: Callable[[], Iterable[RunningTunnel]]
    ) -> None:
        """
        @param tunnels: the tunnels that there are, asked for each time.
        """
        self.snapshot = Snapshot()
        self.history: deque[tuple[float | None, ...]] = deque(maxlen=KEPT)
        self.started = 0.0
        self._reactor = reactor
        self._tunnels = tunnels
        self._loop = LoopingCall(self.sample)
        self._loop.clock = reactor
        self._seen: dict[CarrierSession, _Seen] = {}
        self._ended: dict[tuple[str, str], dict[str, int]] = {}
        self._bridges: dict[Bridge, BridgeStatistics] = {}
        self._count = 0
        self._number = 0
        self._errors = 0
        self._failed = 0
        self._then = 0.0

    def start(self) -> None:
        """
        Make a sample now, and from now on.
        """
        self.started = self._then = self._reactor.seconds()
        self._loop.start(INTERVAL)

    def stop(self) -> None:
        """
        Make no more, if any were made.
        """
        if self._loop.running:
            self._loop.stop()

    def sample(self) -> None:
        """
        Make one.
        """
        now = self._reactor.seconds()
        elapsed = now - self._then
        self._then = now
        tunnels = list(self._tunnels())
        self._find(tunnels, now)
        carriers = tuple(
            self._carrier(seen, now, elapsed) for seen in self._seen.values()
        )
        self.snapshot = Snapshot(
            now, carriers, self._figures(tunnels, elapsed), self._wires(carriers)
        )
        self.history.append(self._row())
        self._count += 1
        if self._count % PING_EVERY == 0:
            for seen in tuple(self._seen.values()):
                _ping(seen)

    # Carriers.

    def _find(self, tunnels: list[RunningTunnel], now: float) -> None:
        """
        Watch the sessions that have come; whose they are may change.
        """
        names: dict[CarrierSession, list[str]] = {}
        for tunnel in tunnels:
            for session in tunnel.sessions:
                names.setdefault(session, []).append(tunnel.tunnel.name)
        for session, those in names.items():
            seen = self._seen.get(session)
            if seen is not None:
                seen.tunnels = tuple(dict.fromkeys(those))
            else:
                self._number += 1
                self._seen[session] = seen = _Seen(
                    session,
                    self._number,
                    now,
                    tuple(dict.fromkeys(those)),
                    session.statistics(),
                )
                session.whenClosed().addBoth(self._closed, session)
                _ping(seen)

    def _closed(self, _: object, session: CarrierSession) -> None:
        del self._seen[session]
        self._add(self._ended, session.statistics())

    @staticmethod
    def _add(
        sums: dict[tuple[str, str], dict[str, int]], statistics: SessionStatistics
    ) -> None:
        counters = sums.setdefault((statistics.wire, statistics.role), _noCounters())
        counters["sessions"] += 1
        for name in COUNTERS:
            counters[name] += getattr(statistics, name)

    @staticmethod
    def _carrier(seen: _Seen, now: float, elapsed: float) -> CarrierFigures:
        last = seen.last
        seen.last = statistics = seen.session.statistics()
        seen.rateIn = _rate(statistics.bytesReceived - last.bytesReceived, elapsed)
        seen.rateOut = _rate(statistics.bytesSent - last.bytesSent, elapsed)
        if seen.session.over:
            state = "closing"
        else:
            state = "draining" if statistics.draining else "up"
        return CarrierFigures(
            seen.number,
            seen.tunnels,
            state,
            now - seen.since,
            seen.rateIn,
            seen.rateOut,
            statistics,
        )

    def _wires(self, carriers: tuple[CarrierFigures, ...]) -> tuple[WireFigures, ...]:
        sums = {key: dict(counters) for key, counters in self._ended.items()}
        live: dict[tuple[str, str], list[SessionStatistics]] = {}
        for carrier in carriers:
            statistics = carrier.statistics
            self._add(sums, statistics)
            live.setdefault((statistics.wire, statistics.role), []).append(statistics)
        wires = []
        for key, counters in sorted(sums.items()):
            those = live.get(key, [])
            wires.append(
                WireFigures(
                    wire=key[0],
                    role=key[1],
                    live=len(those),
                    streams=sum(it.streams for it in those),
                    held=sum(it.bytesHeld for it in those),
                    pausedReading=sum(not it.reading for it in those),
                    pausedWriting=sum(not it.writing for it in those),
                    roundTrip=max((it.roundTrip for it in those), default=0.0),
                    sessions=counters.pop("sessions"),
                    counters=counters,
                )
            )
        return tuple(wires)

    # Tunnels.

    def _figures(
        self, tunnels: list[RunningTunnel], elapsed: float
    ) -> tuple[TunnelFigures, ...]:
        figures = []
        before = self._bridges
        self._bridges = {}
        for running in tunnels:
            bridge = running.bridge
            now = bridge.statistics()
            # What a new one has done was done since then.
            then = before.get(bridge) or BridgeStatistics(0, 0, 0, 0, 0)
            self._bridges[bridge] = now
            self._failed += now.failed - then.failed
            figures.append(
                TunnelFigures(
                    running.tunnel.name,
                    masked(running.tunnel.source),
                    masked(running.tunnel.target),
                    _rate(now.bytesForward - then.bytesForward, elapsed),
                    _rate(now.bytesBack - then.bytesBack, elapsed),
                    now,
                )
            )
        return tuple(figures)

    # The past.

    def _row(self) -> tuple[float | None, ...]:
        snapshot = self.snapshot
        carriers, tunnels, wires = snapshot.carriers, snapshot.tunnels, snapshot.wires
        errors = self._failed + sum(
            wire.counters[name] for wire in wires for name in _ERRORS
        )
        new = errors - self._errors
        self._errors = errors
        return (
            round(snapshot.time, 3),
            len(carriers),
            sum(wire.streams for wire in wires),
            sum(tunnel.statistics.live for tunnel in tunnels),
            round(sum(carrier.rateIn for carrier in carriers)),
            round(sum(carrier.rateOut for carrier in carriers)),
            round(sum(tunnel.rateForward for tunnel in tunnels)),
            round(sum(tunnel.rateBack for tunnel in tunnels)),
            max((wire.roundTrip for wire in wires), default=0.0) or None,
            sum(wire.held for wire in wires),
            new,
        )


def _rate(amount: int, elapsed: float) -> float:
    # Clocks are put back sometimes.
    return amount / elapsed if elapsed > 0 else 0.0


def _ping(seen: _Seen) -> None:
    """
    Have a session measure its round trip.
    """
    if seen.pinging:
        return
    seen.pinging = True

    def done(_: object) -> None:
        seen.pinging = False

    # It fails where the wire has no ping, and where the session is at its end.
    seen.session.ping().addBoth(done)
