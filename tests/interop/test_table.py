"""
The committed compatibility table is that of the scenarios and peers that exist.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interop import table
from tests.interop.link import RESULTS, ROLES
from tests.interop.peers import IMPLEMENTATIONS
from tests.interop.scenarios import SCENARIOS
from tests.interop.scenarios_known import KNOWN


def rowsOf(text: str) -> list[list[str]]:
    """
    The rows of all tables in a text, cell by cell, without heads.
    """
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = {i for i, row in enumerate(rows) if set(row) == {"---"}}
    return [row for i, row in enumerate(rows) if i not in heads and i + 1 not in heads]


def test_complete() -> None:
    """
    Every peer on every wire has a section with exactly the scenarios that exist.
    """
    _, *sections = table.TABLE.read_text().partition("## Results")[2].split("\n### ")
    titles = [section.partition("\n")[0] for section in sections]
    assert titles == [table.title(name, wire) for name, wire in table.pairs()]
    for section in sections:
        rows = rowsOf(section)
        assert [row[0] for row in rows] == list(SCENARIOS)
        results = {cell for row in rows for cell in row[1 : 1 + len(ROLES)]}
        assert results <= set(RESULTS)


def test_listed() -> None:
    """
    So are the scenarios and the peers themselves.
    """
    text = table.TABLE.read_text()
    for each in SCENARIOS.values():
        assert f"- `{each.name}`:{each.title.partition(':')[2]}\n" in text
    peers = rowsOf(text.partition("## Scenarios")[0])
    assert [(row[0], row[2]) for row in peers] == [
        (IMPLEMENTATIONS[name].package, wire) for name, wire in table.pairs()
    ]


def test_differences() -> None:
    """
    Every known difference is named.
    """
    text = table.TABLE.read_text()
    for known in KNOWN.values():
        for difference in known.quirks.values():
            assert difference in text


def test_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Nothing is written as long as a combination was not tried.
    """
    found = {
        key: {"result": "ok", "text": "", "version": "1"} for key in table.expected()
    }
    left = found.popitem()[0]
    monkeypatch.setattr(table, "FOUND", tmp_path / "found.json")
    monkeypatch.setattr(table, "TABLE", tmp_path / "docs" / "table.md")
    table.FOUND.write_text(json.dumps(found))
    assert table.main() == 1
    assert left in capsys.readouterr().err
    assert not table.TABLE.exists()
    found[left] = {"result": "ok", "text": "of note", "version": "1"}
    table.FOUND.write_text(json.dumps(found))
    assert table.main() == 0
    assert "of note" in table.TABLE.read_text()
