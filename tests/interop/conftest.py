"""
What the scenarios' run found goes into a file, from which C{table.py} writes the
compatibility table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.interop.link import Link, Outcome
from tests.interop.peers import CACHE

#: What the last runs found, by peer, wire, role and scenario.
RESULTS = CACHE / "results.json"

Record = Callable[[Link, str, Outcome], None]


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """
    To be called with what became of a scenario.  What it was told replaces what
    earlier runs were told of the same.
    """
    found: dict[str, dict[str, str]] = {}

    def add(link: Link, scenario: str, outcome: Outcome) -> None:
        key = "/".join((link.name, link.wire, link.role, scenario))
        found[key] = {
            "result": outcome.result,
            "text": outcome.text,
            "version": link.version,
        }

    yield add
    if found:
        CACHE.mkdir(parents=True, exist_ok=True)
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(before | found, indent=1, sort_keys=True))
