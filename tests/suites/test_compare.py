"""
The comparison of two runs of Twisted's suites, which themselves are run by
C{python -m tests.suites}.
"""

from __future__ import annotations

from tests.suites.__main__ import SUITES, Run, compare

STREAMS = {modules[0]: 1 for modules in SUITES.values()}
WHY = "as it can't be otherwise"


def made(**outcomes: str) -> Run:
    """
    A run in which tests had these outcomes.
    """
    return Run({test: (word, "reason") for test, word in outcomes.items()}, STREAMS)


def test_same() -> None:
    """
    What is as over TCP is no difference, not even an error.
    """
    tcp = made(a="success", b="skip", c="error")
    assert compare("yamux", tcp, tcp, {}) == []


def test_unexplained() -> None:
    """
    Any other outcome is one, and so is a test that did not run, or only on streams.
    """
    tcp = made(a="success", b="success")
    assert compare("yamux", tcp, made(a="error", c="success"), {}) == [
        "a: success expected, error found\nreason",
        "b: success expected, absent found\n",
        "c: absent expected, success found\nreason",
    ]


def test_explained() -> None:
    """
    What is explained holds for the wires that are named.
    """
    tcp, run = made(a="success"), made(a="failure")
    differences = {"a": (["mplex"], "failure", WHY)}
    assert compare("mplex", tcp, run, differences) == []
    assert compare("yamux", tcp, run, differences) != []


def test_stale() -> None:
    """
    An explanation of what is not so, or of a test that is not there, is a problem.
    """
    tcp = made(a="success")
    stale = {"a": (["yamux"], "failure", WHY)}
    assert compare("yamux", tcp, tcp, stale) == [
        "a: failure expected, success found\nreason"
    ]
    same = {"a": (["yamux"], "success", WHY)}
    assert len(compare("yamux", tcp, tcp, same)) == 1
    assert len(compare("yamux", tcp, tcp, {"b": (["yamux"], "error", WHY)})) == 1


def test_nothingShown() -> None:
    """
    A suite without a single stream shows nothing.
    """
    run = Run({}, {})
    assert len(compare("yamux", run, run, {})) == len(SUITES)
