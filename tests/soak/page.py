"""
Writes the page of the documentation with the figures of a soak over sockets::

    python -m tests.soak sockets --json tests/soak/sockets.json
    python -m tests.soak.page
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.soak.traffic import EVERY

#: What the last long run has found.
FIGURES = Path(__file__).with_name("sockets.json")
#: The page with it.
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "soak.md"

# What the columns of the table add up.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "opened": ("opened",),
    "accepted": ("accepted",),
    "closed": ("done",),
    "aborted": ("aborted",),
    "refused": ("refused",),
    "cut": ("cut",),
    "directions ended": ("ended",),
    "of those, MB": ("endedBytes",),
    "bytes lost": ("lostBytes",),
    "mixed up": ("wrongStreams",),
}

_BEGIN = """\
# Soak

What `python -m tests.soak sockets` has found in its last long run. This page is written by `python -m tests.soak.page`
from the figures of that run, not by hand.

Two processes have carriers between them in both directions, over TCP on one machine, on every wire; both open streams on
each carrier, of random length, with readers that pause at random. Some streams are aborted by plan. Meanwhile carriers are aborted,
drained, and shut down at their sockets, and the other process is stopped for a while, or killed and started anew. Every
direction of a stream that its reader has seen the end of is compared by SHA-256 with what was sent; so is what came of those
that were cut or aborted, as far as it came.
"""


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _cell(name: str, counts: Mapping[str, int], keys: tuple[str, ...]) -> str:
    total = sum(counts.get(key, 0) for key in keys)
    return f"{total / 1e6:,.0f}" if name.endswith("MB") else f"{total:,}"


def _memory(figures: Mapping[str, Any]) -> list[str]:
    memory = figures["memory"]
    return [
        *_table(
            ["resident memory", "KiB"],
            [
                [
                    f"after the first {figures['warmUp']:.0%} of the time",
                    f"{memory['warm']:,}",
                ],
                ["at the end", f"{memory['end']:,}"],
                ["at most", f"{memory['peak']:,}"],
            ],
        ),
        "",
        "This is of the process that was not killed. When all was closed, no delayed call, reader or writer was left in it, and no",
        "session, stream or transport in either.",
    ]


def render(figures: Mapping[str, Any]) -> str:
    """
    The page.
    """
    versions = ", ".join(f"{name} {text}" for name, text in figures["versions"].items())
    wires = {name: each for name, each in figures["wires"].items() if name != EVERY}
    everything = {
        key: sum(each.get(key, 0) for each in wires.values())
        for keys in _COLUMNS.values()
        for key in keys
    }
    rows = [
        [wire, *(_cell(name, counts, keys) for name, keys in _COLUMNS.items())]
        for wire, counts in {**wires, "all": everything}.items()
    ]
    faults = ", ".join(f"{name} {count}" for name, count in figures["faults"].items())
    found = figures["violations"]
    lines = [
        _BEGIN,
        f"{figures['date']}, {figures['seconds']} seconds; {versions}.",
        "",
        "## Streams",
        "",
        *_table(["wire", *_COLUMNS], rows),
        "",
        "Both processes count: a stream is opened in one and accepted in the other, and each notes for itself how it ended.",
        "What the other process had counted in its last third of a second before it was killed is missing.",
        "",
        "## Faults",
        "",
        f"{faults}.",
        "",
        "## Memory",
        "",
        *_memory(figures),
        "",
        "## What was found",
        "",
        *([f"- {each}" for each in found] or ["Nothing."]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """
    Write the page.
    """
    PAGE.write_text(render(json.loads(FIGURES.read_text())))


if __name__ == "__main__":
    main()
