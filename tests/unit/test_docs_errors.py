"""
What C{docs/reference/errors.md} says of exceptions is so, and all are there.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from twisted.internet import error as twisted

from tests.unit.test_architecture import MODULES
from twisted_mux.errors import MuxError, PeerError, ProtocolError, UsageError
from twisted_mux.wire import wireNames, wires

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
TEXT = PAGE.read_text()

#: Exceptions that are no errors of this package's: the first ends the process, the
#: second fails a test.
NO_ERRORS = {"StartFailed", "Restless"}


def exceptions() -> dict[str, type[BaseException]]:
    """
    Every exception that is defined in the package.
    """
    found = {}
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        for each in vars(import_module(name)).values():
            if (
                isinstance(each, type)
                and issubclass(each, BaseException)
                and each.__module__ == name
            ):
                found[each.__name__] = each
    return found


ALL = exceptions()


def table(title: str, header: str) -> list[list[str]]:
    """
    The lines of the first table under a heading that begins like that.
    """
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = section.partition(f"| {header} |")[2].partition("\n\n")[0]
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")]
        for line in rows.splitlines()
        if line.startswith("| ") and not line.startswith("| ---")
    ]


REASONS = {row[0]: row for row in table("Reasons", "reason")}
PEERS = {row[0]: row for row in table("Errors of the peer's", "error")}
OURS = {row[0]: row for row in table("Errors of our own", "error")}


def test_oneTree() -> None:
    """
    All exceptions are of one tree, and each has its place on the page.
    """
    for name, kind in ALL.items():
        assert issubclass(kind, MuxError) or name in NO_ERRORS, name
    roots = {MuxError, PeerError, UsageError}
    named = {*REASONS, *PEERS, *OURS} - {"ConnectionDone", "ConnectionAborted"}
    assert named == set(ALL) - NO_ERRORS - {root.__name__ for root in roots}


@pytest.mark.parametrize("name", REASONS)
def test_reasons(name: str) -> None:
    """
    A reason is what Twisted's protocols know as well.
    """
    kind = ALL.get(name) or getattr(twisted, name)
    also = REASONS[name][1]
    assert also == "itself" or issubclass(kind, getattr(twisted, also))
    assert not issubclass(kind, UsageError | PeerError)


@pytest.mark.parametrize("name", PEERS)
def test_peers(name: str) -> None:
    """
    What peers do.
    """
    kind = ALL[name]
    _, parent, _, goAway = PEERS[name]
    assert issubclass(kind, PeerError)
    assert ALL[parent] in kind.__bases__
    assert goAway == (kind.kind if issubclass(kind, ProtocolError) else "")


@pytest.mark.parametrize("name", OURS)
def test_ours(name: str) -> None:
    """
    What we do.
    """
    kind = ALL[name]
    assert issubclass(kind, UsageError)
    parents = OURS[name][1].split(", ")
    assert [base.__name__ for base in kind.__bases__] == parents


def test_codes() -> None:
    """
    The table of codes has those of every wire that has a go-away.
    """
    rows = table("Errors of the peer's", "code")
    header = TEXT.partition("| code |")[2].splitlines()[0]
    names = [cell.strip() for cell in header.strip().strip("|").split("|")]
    having = [name for name in wireNames() if wires()[name].capabilities.goAway]
    assert sorted(names) == having
    for position, name in enumerate(names, 1):
        codes = {row[0]: int(row[position]) for row in rows}
        assert codes == wires()[name].goAwayCodes
    for kind in ALL.values():
        if issubclass(kind, ProtocolError):
            assert kind.kind in codes
