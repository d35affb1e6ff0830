"""
Figures in Prometheus' format.
"""

from __future__ import annotations

import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from twisted_mux.bridge import BridgeStatistics
from twisted_mux.metrics import MetricsMissing, exposition
from twisted_mux.snapshot import COUNTERS, Snapshot, TunnelFigures, WireFigures

Samples = dict[tuple[str, str], float]


def samples(snapshot: Snapshot) -> Samples:
    """
    What Prometheus' own parser finds, by name and the values of the labels.
    """
    content, kind = exposition(snapshot)
    assert kind.startswith("text/plain")
    return {
        (sample.name, " ".join(sample.labels[key] for key in sorted(sample.labels))): (
            sample.value
        )
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def tunnel(name: str, *figures: int) -> TunnelFigures:
    """
    A tunnel with these figures.
    """
    return TunnelFigures(name, "a:", "b:", 0.0, 0.0, BridgeStatistics(*figures))


def test_wires() -> None:
    """
    Each figure of a wire has a metric, told apart by wire and role.
    """
    counters = {name: 100 + place for place, name in enumerate(COUNTERS)}
    wire = WireFigures("yamux", "client", 1, 2, 3, 4, 5, 0.25, 6, counters)
    other = WireFigures("smux2", "server", 7, 0, 0, 0, 0, 0.0, 7, counters)
    found = samples(Snapshot(wires=(wire, other)))
    mine = {
        name.removeprefix("twisted_mux_"): value
        for (name, labels), value in found.items()
        if labels == "client yamux"
    }
    assert mine == {
        "sessions": 1,
        "streams": 2,
        "held_bytes": 3,
        "sessions_reading_paused": 4,
        "sessions_writing_paused": 5,
        "round_trip_seconds": 0.25,
        "sessions_started_total": 6,
        "received_bytes_total": 100,
        "sent_bytes_total": 101,
        "streams_opened_total": 102,
        "streams_accepted_total": 103,
        "streams_refused_total": 104,
        "resets_received_total": 105,
        "resets_sent_total": 106,
    }
    assert found["twisted_mux_sessions", "server smux2"] == 7


def test_tunnels() -> None:
    """
    Tunnels are told apart by name; those of the same name are one.
    """
    both = (tunnel("a", 1, 2, 3, 4, 5), tunnel("b", 6, 7, 8, 9, 10))
    found = samples(Snapshot(tunnels=(*both, tunnel("a", 10, 10, 10, 10, 10))))
    name = "twisted_mux_bridge_"
    assert found == {
        (f"{name}connections_live", "a"): 11,
        (f"{name}connections_total", "a"): 12,
        (f"{name}connections_failed_total", "a"): 13,
        (f"{name}forward_bytes_total", "a"): 14,
        (f"{name}back_bytes_total", "a"): 15,
        (f"{name}connections_live", "b"): 6,
        (f"{name}connections_total", "b"): 7,
        (f"{name}connections_failed_total", "b"): 8,
        (f"{name}forward_bytes_total", "b"): 9,
        (f"{name}back_bytes_total", "b"): 10,
    }


def test_names() -> None:
    """
    A name of a tunnel may have anything in it.
    """
    name = 'a"b\\c\nd'
    assert samples(Snapshot(tunnels=(tunnel(name, 1, 0, 0, 0, 0),)))[
        "twisted_mux_bridge_connections_live", name
    ]


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without C{prometheus_client} it is said in one line what to do.
    """
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MetricsMissing, match=r"pip install 'twisted-mux\[metrics\]'"):
        exposition(Snapshot())
