"""
All that there is to see, as an object of JSON: what the page shows.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from twisted_mux._version import __version__
from twisted_mux.snapshot import CarrierFigures, TunnelFigures
from twisted_mux.status.messages import Messages
from twisted_mux.status.sampling import COLUMNS, INTERVAL, Sampler

__all__ = ["report"]


def report(sampler: Sampler, messages: Messages) -> bytes:
    """
    The figures of the last sample, the rows of the past, and the last messages.
    """
    snapshot = sampler.snapshot
    content = {
        "version": __version__,
        "time": round(snapshot.time, 3),
        "uptime": round(snapshot.time - sampler.started, 3),
        "interval": INTERVAL,
        "carriers": [_carrier(each) for each in snapshot.carriers],
        "tunnels": [_tunnel(each) for each in snapshot.tunnels],
        "wires": [asdict(each) for each in snapshot.wires],
        "history": {"columns": COLUMNS, "rows": list(sampler.history)},
        "messages": [
            {"time": round(time, 3), "level": level, "text": text}
            for time, level, text in messages.lines
        ],
    }
    return json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n"


def _carrier(figures: CarrierFigures) -> dict[str, Any]:
    content = asdict(figures)
    content.update(content.pop("statistics"))
    content["roundTrip"] = content["roundTrip"] or None
    return content


def _tunnel(figures: TunnelFigures) -> dict[str, Any]:
    content = asdict(figures)
    content.update(content.pop("statistics"))
    content["from"] = content.pop("source")
    content["to"] = content.pop("target")
    return content
