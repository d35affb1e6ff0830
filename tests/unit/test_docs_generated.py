"""
What pages say of the code is what the code says.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from docs.making.generate import (
    DOCS,
    PARTS,
    fieldTexts,
    pages,
    parts,
    remade,
    table,
)
from docs.making.links import broken
from twisted_mux import endpoint_strings, tunnel_config
from twisted_mux.config import MuxConfig
from twisted_mux.endpoint_strings import IDLE, WAIT
from twisted_mux.tap import Options
from twisted_mux.tunnel_config import readConfig
from twisted_mux.wire import wireNames


@pytest.mark.parametrize("page", [pytest.param(path, id=path.stem) for path in pages()])
def test_current(page: Path) -> None:
    """
    The parts that are made from the code are up to date: C{python -m
    docs.making.generate} changes nothing.
    """
    text = page.read_text(encoding="utf-8")
    assert remade(text) == text


def test_noticed() -> None:
    """
    A part that is not as it should be is noticed.
    """
    page = "<!-- made: states -->\nwrong\n<!-- end -->\n"
    assert "local ended" in remade(page)
    assert remade(remade(page)) == remade(page)


def test_allAreUsed() -> None:
    """
    Every part stands somewhere, but what the two smux have in common.
    """
    used = {name for page in pages() for name in parts(page.read_text("utf-8"))}
    assert used == set(PARTS) - {"frames-smux1"}


def test_table() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_fields() -> None:
    """
    Each field of the configuration has a text, and each text a field.
    """
    assert list(fieldTexts()) == [field.name for field in fields(MuxConfig)]
    assert not [said for said in fieldTexts().values() if "{" in said]


def test_wires() -> None:
    """
    Every wire has a page, which the others are one with: the two smux.
    """
    stems = {path.stem for path in (DOCS / "reference" / "wires").glob("*.md")}
    assert stems == {name.rstrip("12") for name in wireNames()} | {"index"}


def test_options() -> None:
    """
    The options of C{twist mux} are those that are parsed.
    """
    said = re.findall(r"^\| `--([\w-]+)", PARTS["options"](), re.M)
    options: Any = Options()
    assert sorted(said) == sorted(
        name.rstrip("=") for name in options.longOpt if name not in ("help", "version")
    )


def test_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The keys of a file for C{--config} are those that are read.
    """
    found: set[str] = set()
    take = tunnel_config._Reader.take

    def taking(self: Any, table: Any, path: Any, *others: Any) -> Any:
        found.add(".".join(path))
        return take(self, table, path, *others)

    monkeypatch.setattr(tunnel_config._Reader, "take", taking)
    file = tmp_path / "tunnels.toml"
    file.write_text('[tunnels.NAME]\nfrom = "tcp:0"\nto = "tcp:localhost:1"\n')
    config = readConfig(MemoryReactorClock(), str(file), False, None)
    page = (DOCS / "reference" / "twist-mux.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.-]+)` \| (\S+) \|", page, re.M)
    said = dict(rows)
    assert said.keys() == found
    (tunnel,) = config.tunnels
    assert said["status"] == said["status-token"] == str(config.status.where).lower()
    assert said["drain"] == f"{config.drain:g}"
    assert said["tunnels.NAME.connect-timeout"] == f"{tunnel.connectTimeout:g}"
    assert said["insecure-carrier"] == str(config.insecureCarrier).lower()


def test_endpointStrings() -> None:
    """
    The table of options has those that there are, with the defaults.
    """
    page = (DOCS / "reference" / "endpoint-strings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(wire|mux\w+)` \| ([^|]*) \|", page, re.M))
    assert rows.keys() == endpoint_strings._KNOWN
    config = MuxConfig()
    for name, (field, _) in endpoint_strings._CONFIG.items():
        default = getattr(config, field)
        # What depends on the wire is said in words.
        if default is not None:
            assert rows[name].strip("`") == str(default), name
    assert (float(rows["muxIdle"]), float(rows["muxWait"])) == (IDLE, WAIT)


def test_links(tmp_path: Path) -> None:
    """
    Links that lead nowhere are found, and no others.
    """
    root = tmp_path / "html"
    (root / "api").mkdir(parents=True)
    (tmp_path / "outside.html").write_text("")
    (root / "index.html").write_text(
        '<a href="api/one.html#here">1</a><a href="api/one.html#there">2</a>'
        '<a href="https://example.org/x">3</a><a href="two.html">4</a>'
        '<img src="../outside.html"><p id="top"><a href="#top">5</a>'
    )
    (root / "api" / "one.html").write_text(
        '<a name="here" href="../index.html">1</a><a href="#gone">2</a>'
    )
    assert broken(root) == [
        "api/one.html: #gone",
        "index.html: ../outside.html",
        "index.html: api/one.html#there",
        "index.html: two.html",
    ]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_readmeLinks(name: str) -> None:
    """
    What the pages at the top link to is there.
    """
    root = DOCS.parent
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (root / name).read_text("utf-8"))
    assert not [
        link
        for link in links
        if not link.startswith("https://") and not (root / link).is_file()
    ]
