"""
The command: it says what it did, and a finding makes it fail.
"""

from __future__ import annotations

import pytest

from tests.property.test_engines import Engines
from tests.soak import engines
from tests.soak.__main__ import main


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A round is short.
    """
    monkeypatch.setattr(engines, "_EXAMPLES", 2)
    monkeypatch.setattr(engines, "_RUNS", 3)


def test_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--minutes", "0", "--wire", "smux1"]) == 0
    said = capsys.readouterr().out
    assert "2 examples of hypothesis,       3 runs by number" in said
    assert "nothing was found" in said


def test_aSeed() -> None:
    """
    A run can be repeated.
    """
    assert main(["engines", "--seed", "7", "--wire", "mplex"]) == 0


def test_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    What is found is printed, with the way to repeat it.
    """

    def fail(wire: str, seed: int) -> None:
        raise AssertionError(f"{wire} has lost a byte")

    monkeypatch.setattr(engines, "atRandom", fail)
    assert main(["engines", "--minutes", "0", "--wire", "smux1"]) == 1
    said = capsys.readouterr()
    assert "smux1 has lost a byte" in said.err
    assert "--seed " in said.out
    assert "failed: engines" in said.out


def test_findingsOfHypothesis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Those of hypothesis with the whole example.
    """

    class Broken(Engines):
        wire = "smux1"

        def teardown(self) -> None:
            raise AssertionError("can't be torn down")

    monkeypatch.setattr(engines, "machineOf", lambda wire: Broken)
    assert main(["engines", "--minutes", "0", "--wire", "smux1"]) == 1
    said = capsys.readouterr()
    assert "state.teardown()" in said.err + said.out
    assert "can't be torn down" in said.err
