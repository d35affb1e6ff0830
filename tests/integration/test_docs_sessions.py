"""
What pages show of terminals happens just so.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.doc_sessions import DOCS, included, play, terminals
from tests.interop.peers import GO, RUST, whyNot

#: All tutorials, and the guides with sessions that are whole, with other folders of
#: examples that these need.
PAGES: dict[str, tuple[str, ...]] = {
    **{
        str(path.relative_to(DOCS)): ()
        for path in sorted(DOCS.glob("tutorials/*.md"))
        if path.stem != "index"
    },
    "how-to/go.md": (),
    "how-to/rust.md": ("upper",),
    "how-to/libp2p.md": ("upper",),
    "how-to/without-twisted.md": (),
    "how-to/tls.md": ("upper",),
}


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, tmp_path: Path) -> None:
    """
    All commands of a page do what it says.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    commands = [each for terminal in terminals(text) for each in terminal]
    needed = {word for each in commands for word in re.findall(r"\w+", each.line)}
    for program in needed & {"curl", "openssl"}:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    for toolchain in (GO, RUST):
        reason = whyNot(toolchain) if toolchain.command in needed else None
        if reason:
            pytest.skip(reason)
    assert included(text) or "twist mux" in text
    assert play(page, tmp_path, PAGES[page]) == len(commands) >= 2
