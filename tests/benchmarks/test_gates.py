"""
Targets that can be checked on any machine: virtual time, counts of calls, and ratios
of times taken in turn in one process.
"""

from __future__ import annotations

import gc
import os
import platform
import sys

import pytest

from tests.benchmarks.cases import CASES
from tests.benchmarks.contestants import OURS, PEERS
from tests.benchmarks.running import layouts, measure
from tests.benchmarks.scaling import ACTIVE, frameWork, slowdown, work, workOf
from tests.benchmarks.targets import (
    FRAME_CALLS,
    FRAME_COST_COMPILED,
    FRAME_COST_GATE,
    FRAME_INSTRUCTIONS,
    LINK_SHARE,
    WIRES,
)
from tests.benchmarks.virtual_link import (
    creditWires,
    slowWindow,
    steadyWindow,
    throughput,
)
from twisted_mux.compiling import isCompiled
from twisted_mux.config import MuxConfig
from twisted_mux.wire import codecNamed, wireNames

CPYTHON = pytest.mark.skipif(
    platform.python_implementation() != "CPython",
    reason="what functions cost is CPython's affair",
)
#: Seconds: the round trip for which the link's target is.
ROUND_TRIP = 0.1
# Tries: what is wanted is the figure without the machine's noise.
TRIES = 5
# For what takes a second each, if need be.
MORE_TRIES = 20
WINDOW = MuxConfig().window
#: By how much an echo may take longer beside 10,000 idle streams than beside one.
NO_SLOWER = 1.5


@pytest.mark.parametrize("wire", creditWires())
def test_link(wire: str) -> None:
    """
    One stream fills a long link, after the time in which its window grows.
    """
    assert throughput(wire, ROUND_TRIP).share >= LINK_SHARE


@pytest.mark.parametrize("wire", creditWires())
def test_windowOfASlowStream(wire: str) -> None:
    """
    A stream whose reader takes little does not get a wider window for that, however
    much is sent.
    """
    assert slowWindow(wire, ROUND_TRIP) == WINDOW


@pytest.mark.parametrize("wire", creditWires())
def test_windowOfASteadyStream(wire: str) -> None:
    """
    Nor does one that is never held up: where the round trip can only be estimated it
    is doubled once, before that is known, and never again (L{twisted_mux.engine.credit}
    has the argument).
    """
    allowed = 1 if codecNamed(wire).capabilities.ping else 2
    assert steadyWindow(wire, ROUND_TRIP) <= allowed * WINDOW


@CPYTHON
@pytest.mark.parametrize("wire", wireNames())
def test_idleStreamsTakeNoWork(wire: str) -> None:
    """
    Exactly as much is done for an echo beside 10,000 idle streams as beside 10.
    """
    few = work(wire, 10)
    assert few.calls > ACTIVE
    assert few.instructions > few.calls
    assert work(wire, 10_000) == few


@CPYTHON
def test_collectorIsNotCounted() -> None:
    """
    When the garbage collector runs does not depend on what is done in a turn alone, and
    others, hypothesis among them, have themselves called then.
    """

    def littering() -> None:
        assert [[] for _ in range(100)]

    def heard(phase: str, details: dict[str, int]) -> None:
        heardOf.append(len(phase))

    heardOf: list[int] = []
    quiet = workOf(littering)
    threshold = gc.get_threshold()
    gc.callbacks.append(heard)
    gc.set_threshold(1)
    try:
        littering()
        assert heardOf
        assert workOf(littering) == quiet
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(heard)


@CPYTHON
@pytest.mark.parametrize("wire", WIRES)
def test_idleStreamsTakeNoTime(wire: str) -> None:
    """
    Nor is there a walk over them that is too well hidden to be counted: a list of
    10,000 streams takes longer than ten echoes do.
    """
    assert any(slowdown(wire, 10_000) <= NO_SLOWER for _ in range(TRIES))


@pytest.mark.skipif(
    platform.python_implementation() != "CPython" or sys.version_info[:2] != (3, 11),
    reason="the byte code counted is that of CPython 3.11",
)
@pytest.mark.skipif(isCompiled(), reason="compiled code has no byte code")
@pytest.mark.parametrize("wire", WIRES)
def test_frameWork(wire: str) -> None:
    """
    No more is done for a small frame than it takes.
    """
    calls, instructions = frameWork(wire)
    assert 1 < calls <= FRAME_CALLS
    assert 1 < instructions <= FRAME_INSTRUCTIONS


@CPYTHON
@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ,
    reason="takes the time, with nothing beside it: without xdist, as .ci/run does",
)
@pytest.mark.parametrize("wire", WIRES)
def test_frameCost(wire: str) -> None:
    """
    A small frame in and out costs no more than so many bare loops.  (In a process of
    its own, since coverage would be counted too.)
    """
    (layout,) = layouts(["one"])
    command = CASES["frame-cost"].command(PEERS[OURS])
    job = CASES["frame-cost"].job
    costs = (measure(command, wire, job, layout)["best"] for _ in range(MORE_TRIES))
    gate = FRAME_COST_COMPILED if isCompiled() else FRAME_COST_GATE
    assert any(cost <= gate for cost in costs)
