"""
What an echo takes beside idle streams, counted: calls of functions, and instructions of
Python's byte code.  No machine's noise gets into these numbers, and they are the same
however many idle streams there are, if nothing is done for each of them.

A walk over all streams that is hidden in C, such as a C{list} of them, is no more than
one call.  For that there is the time that the same takes, at best.

Run it: C{python -m tests.benchmarks.scaling}.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from tests.benchmarks.frame_cost import _Echo, chunks, session
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Codec

#: Streams that echo.
ACTIVE = 10
#: Idle ones beside them.
IDLE = (1, 10, 100, 1000, 10_000)
# Frames of a chunk, for what one more of them takes: on 100 streams.
_COUNTS = (400, 800)
# How often the time is taken.
_TIMES = 300


@dataclass(frozen=True)
class Work:
    """
    What was done.

    @ivar calls: calls of functions, be they written in Python or in C.
    @ivar instructions: of byte code.
    """

    calls: int
    instructions: int


def workOf(function: Callable[[], object]) -> Work:
    """
    What is done by this function.
    """
    calls = instructions = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal instructions
        if event == "call":
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
        elif event == "opcode":
            instructions += 1
        return trace

    before = sys.getprofile(), sys.gettrace()
    with _noCollector():
        # One after the other, or they would count each other.
        sys.setprofile(profile)
        try:
            function()
        finally:
            sys.setprofile(before[0])
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before[1])
    return Work(calls, instructions)


@contextmanager
def _noCollector() -> Iterator[None]:
    """
    What the garbage collector does, and who hears of it (hypothesis does), is nobody's
    turn's affair.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def echoing(wire: str, idle: int) -> Callable[[], None]:
    """
    A chunk with a message for each of L{ACTIVE} streams, their echoes, and the turn
    that follows.

    @param idle: how many more streams there are.
    """
    codec = codecNamed(wire)
    mux, carrier, keys, reactor = session(codec, _Echo, ACTIVE + idle)
    # The first, whose numbers are no longer on any wire for there being more.
    (chunk,) = chunks(codec, keys[:ACTIVE], ACTIVE)

    def echo() -> None:
        before = carrier.sent
        mux.dataReceived(chunk)
        reactor.advance(0)
        assert carrier.sent - before >= len(chunk)

    # What happens once is no part of it.
    echo()
    return echo


def work(wire: str, idle: int) -> Work:
    """
    What is done for an echo beside so many idle streams.
    """
    return workOf(echoing(wire, idle))


def frameWork(wire: str) -> tuple[float, float]:
    """
    What is done for one more small frame in a chunk, in and, as its echo, out again.

    @return: calls, and instructions.
    """
    codec = codecNamed(wire)
    few, many = (_echoed(codec, count) for count in _COUNTS)
    more = _COUNTS[1] - _COUNTS[0]
    calls = (many.calls - few.calls) / more
    return calls, (many.instructions - few.instructions) / more


def _echoed(codec: type[Codec], frames: int) -> Work:
    mux, _, keys, reactor = session(codec, _Echo)
    for stream in mux.engine.streams.values():
        stream.permit(2**30)
    (chunk,) = chunks(codec, keys, frames)

    def echo() -> None:
        mux.dataReceived(chunk)
        reactor.advance(0)

    echo()
    return workOf(echo)


def slowdown(wire: str, idle: int) -> float:
    """
    How much longer an echo takes beside so many idle streams than beside one: the
    best of both, in CPU time, taken in turn.
    """
    echoes = echoing(wire, 1), echoing(wire, idle)
    best = [float("inf"), float("inf")]
    gc.collect()
    with _noCollector():
        for _ in range(_TIMES):
            for each, echo in enumerate(echoes):
                began = time.process_time()
                echo()
                best[each] = min(best[each], time.process_time() - began)
    return best[1] / best[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", action="append", choices=wireNames())
    arguments = parser.parse_args()
    print(
        "calls and instructions for an echo on 10 streams, and the time that it takes"
    )
    print("by that beside one idle stream, beside so many of them")
    for wire in arguments.wire or wireNames():
        for idle in IDLE:
            done = work(wire, idle)
            print(
                f"{wire:8}{idle:8,}{done.calls:8,}{done.instructions:8,}"
                f"{slowdown(wire, idle):8.2f}"
            )


if __name__ == "__main__":
    main()
