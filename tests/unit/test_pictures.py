"""
The pictures of the documentation: how a terminal becomes one, and what there is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.plot import panels
from tests.benchmarks.report import load

DOCS = Path(__file__).parents[2] / "docs"
#: Bytes that a picture may have.
MOST = 150_000
#: Bytes that all figures and drawings of the benchmarks may have.
MOST_FIGURES = 200_000
PROGRAM = """
import os, sys
assert sys.stdout.isatty()
print("width", os.get_terminal_size().columns)
print("overwritten", end="\\r\\x1b[2K")
print("\\x1b[1;32mgreen\\x1b[0m plain \\x1b[38;2;1;2;3mdark\\x1b[33mbrown\\x1b[0m")
"""


@pytest.fixture
def making() -> Any:
    """
    The module that makes them; it needs what the tests do not need otherwise.
    """
    return pytest.importorskip(
        "docs.making.pictures", reason="needs pip install -e '.[pictures]'"
    )


def test_terminal(tmp_path: Path, making: Any) -> None:
    """
    What a program has left on its screen is in the picture, as it looks there, and
    nothing else.
    """
    text = making.textOf(
        making.screenOf([sys.executable, "-c", PROGRAM], "show", tmp_path)
    )
    assert text.plain == "$ show\nwidth 84\ngreen plain darkbrown"
    made = making.drawn(text, "a title")
    root = ElementTree.fromstring(made)
    said = "".join(root.itertext()).replace("\N{NO-BREAK SPACE}", " ")
    for part in ("a title", "$ show", "width 84", "green", " plain ", "dark"):
        assert part in said
    assert "overwritten" not in said
    for colour in ("#62be78", "#010203", "#d6aa50"):
        assert colour in made
    # Whoever looks at it is not made to fetch anything.
    assert "url(" not in made.replace("url(#", "")


def test_failure(tmp_path: Path, making: Any) -> None:
    """
    There is no picture of what has failed, but what it said.
    """
    command = [sys.executable, "-c", "import sys; sys.exit('it broke')"]
    with pytest.raises(subprocess.CalledProcessError) as error:
        making.screenOf(command, "show", tmp_path)
    assert "it broke" in error.value.output


def test_figures() -> None:
    """
    The benchmarks' figures are such that can be read, each of their drawings is on the
    page, and all of it is small.
    """
    folder = DOCS / "explanation" / "performance"
    page = (DOCS / "pictures.md").read_text()
    files = sorted(folder.iterdir())
    _, found = load((folder / "figures.json").read_text())
    groups = {row.findings[0].case.group for row in panels(found)}
    assert {file.stem for file in files if file.suffix == ".svg"} == groups
    assert all(f"performance/{group}.svg" in page for group in groups)
    assert sum(file.stat().st_size for file in files) < MOST_FIGURES


def test_pictures() -> None:
    """
    Each picture is on the page, is small, and does not tell on which machine it was
    made.
    """
    page = (DOCS / "pictures.md").read_text()
    files = sorted((DOCS / "pictures").iterdir())
    assert [file.name for file in files] == [
        "demo.svg",
        "status-dark.png",
        "status-light.png",
    ]
    for file in files:
        assert f"pictures/{file.name}" in page
        assert file.stat().st_size < MOST
        assert str(DOCS.parent).encode() not in file.read_bytes()
