"""
Figures for Prometheus, by C{prometheus_client} (C{twisted-mux[metrics]}).

B{No metric objects are kept.}  C{prometheus_client}'s counters are there to be counted up
by the code that does the work; here that code counts for itself already, and must not
get slower for being watched.  So there is a collector instead: when somebody asks, it
turns the figures that there are (L{twisted_mux.snapshot}) into metrics.

B{Labels} are few on purpose: wire and role of sessions, names of tunnels.  A label for
the peer would make a new time series for every client that ever came, and would tell
their addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from twisted_mux.errors import UsageError
from twisted_mux.snapshot import Snapshot, TunnelFigures, WireFigures

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

__all__ = ["MISSING", "MetricsMissing", "exposition"]

#: What to say where C{prometheus_client} is missing.
MISSING = "prometheus_client is not installed: pip install 'twisted-mux[metrics]'"

# Name, help, and where it comes from: what there is now of each wire and role...
_WIRE_GAUGES: tuple[tuple[str, str, Callable[[WireFigures], float]], ...] = (
    ("sessions", "Sessions that there are now.", lambda it: it.live),
    ("streams", "Streams that there are now.", lambda it: it.streams),
    (
        "held_bytes",
        "Bytes held for readers that do not read.",
        lambda it: it.held,
    ),
    (
        "sessions_reading_paused",
        "Sessions whose carrier is not being read.",
        lambda it: it.pausedReading,
    ),
    (
        "sessions_writing_paused",
        "Sessions whose carrier takes nothing now.",
        lambda it: it.pausedWriting,
    ),
    (
        "round_trip_seconds",
        "The longest of the sessions' last round trips; 0 if none was measured.",
        lambda it: it.roundTrip,
    ),
)
# ... what there was so far...
_WIRE_COUNTERS = (
    ("received_bytes", "Bytes received on carriers.", "bytesReceived"),
    ("sent_bytes", "Bytes sent on carriers.", "bytesSent"),
    ("streams_opened", "Streams opened by this side.", "streamsOpened"),
    ("streams_accepted", "Streams of peers accepted.", "streamsAccepted"),
    ("streams_refused", "Streams of peers refused.", "streamsRefused"),
    ("resets_received", "Streams reset by peers.", "resetsReceived"),
    ("resets_sent", "Streams reset by this side.", "resetsSent"),
)
# ... and of each tunnel.
_TUNNEL_COUNTERS: tuple[tuple[str, str, Callable[[TunnelFigures], float]], ...] = (
    (
        "connections",
        "Connections that have arrived.",
        lambda it: it.statistics.total,
    ),
    (
        "connections_failed",
        "Connections whose target could not be reached.",
        lambda it: it.statistics.failed,
    ),
    (
        "forward_bytes",
        "Bytes from those who connected to the target.",
        lambda it: it.statistics.bytesForward,
    ),
    (
        "back_bytes",
        "Bytes from the target to those who connected.",
        lambda it: it.statistics.bytesBack,
    ),
)


class MetricsMissing(UsageError):
    """
    C{prometheus_client} is not installed.
    """


class _Collector:
    """
    What C{prometheus_client} asks.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """
        All metrics, those without any figures included.
        """
        yield from self._ofWires()
        yield from self._ofTunnels()

    def _ofWires(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ["wire", "role"]
        wires = self._snapshot.wires
        for name, text, gaugeOf in _WIRE_GAUGES:
            gauge = GaugeMetricFamily(f"twisted_mux_{name}", text, labels=labels)
            for wire in wires:
                gauge.add_metric([wire.wire, wire.role], gaugeOf(wire))
            yield gauge
        started = CounterMetricFamily(
            "twisted_mux_sessions_started", "Sessions so far.", labels=labels
        )
        for wire in wires:
            started.add_metric([wire.wire, wire.role], wire.sessions)
        yield started
        for name, text, key in _WIRE_COUNTERS:
            counter = CounterMetricFamily(f"twisted_mux_{name}", text, labels=labels)
            for wire in wires:
                counter.add_metric([wire.wire, wire.role], wire.counters[key])
            yield counter

    def _ofTunnels(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        # One that ends, and another of its name, are the same to whoever watches.
        byName: dict[str, list[TunnelFigures]] = {}
        for tunnel in self._snapshot.tunnels:
            byName.setdefault(tunnel.name, []).append(tunnel)
        live = GaugeMetricFamily(
            "twisted_mux_bridge_connections_live",
            "Connections that there are now.",
            labels=["tunnel"],
        )
        for tunnelName, tunnels in byName.items():
            live.add_metric([tunnelName], sum(it.statistics.live for it in tunnels))
        yield live
        for name, text, figureOf in _TUNNEL_COUNTERS:
            counter = CounterMetricFamily(
                f"twisted_mux_bridge_{name}", text, labels=["tunnel"]
            )
            for tunnelName, tunnels in byName.items():
                counter.add_metric([tunnelName], sum(map(figureOf, tunnels)))
            yield counter


def exposition(snapshot: Snapshot) -> tuple[bytes, str]:
    """
    The figures in Prometheus' text format.

    @return: those, and their content type.
    @raise MetricsMissing: C{prometheus_client} is not installed.
    """
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
        from prometheus_client.exposition import generate_latest
    except ImportError:
        raise MetricsMissing(MISSING) from None

    # Its own, not the process's: others may have metrics there under these names.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry), CONTENT_TYPE_LATEST
