"""
What the scenarios' run found goes into a file, from which C{table.py} writes the
compatibility table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.interop.link import Link, Outcome
from tests.interop.table import FOUND, keyOf

Record = Callable[[Link, str, Outcome], None]


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """
    To be called with what became of a scenario.  What it was told replaces what
    earlier runs were told of the same.
    """
    found: dict[str, dict[str, str]] = {}

    def add(link: Link, scenario: str, outcome: Outcome) -> None:
        found[keyOf(link.name, link.wire, link.role, scenario)] = {
            "result": outcome.result,
            "text": outcome.text,
            "version": link.version,
        }

    yield add
    if found:
        FOUND.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(FOUND.read_text()) if FOUND.exists() else {}
        FOUND.write_text(json.dumps(before | found, indent=1, sort_keys=True))
