"""
What an echo takes beside idle streams, counted in calls of functions: a number that
no machine's noise gets into, and that is the same however many idle streams there
are, if nothing is done for each of them.

Run it: C{python -m tests.benchmarks.scaling}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from types import FrameType

from tests.benchmarks.frame_cost import _Echo, chunks, session
from twisted_mux.wire import codecNamed, wireNames

#: Streams that echo.
ACTIVE = 10
#: Idle ones beside them.
IDLE = (1, 10, 100, 1000, 10_000)


def callsOf(function: Callable[[], object]) -> int:
    """
    How many functions are called, be they written in Python or in C, by this one.
    """
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def calls(wire: str, idle: int) -> int:
    """
    Calls for one chunk with a message for each of L{ACTIVE} streams, their echoes,
    and the turn that follows.

    @param idle: how many more streams there are.
    """
    codec = codecNamed(wire)
    mux, carrier, keys, reactor = session(codec, _Echo, ACTIVE + idle)
    # The first, whose numbers are no longer on any wire for there being more.
    (chunk,) = chunks(codec, keys[:ACTIVE], ACTIVE)

    def echo() -> None:
        mux.dataReceived(chunk)
        reactor.advance(0)

    # What happens once is no part of it.
    echo()
    before = carrier.sent
    count = callsOf(echo)
    assert carrier.sent - before >= len(chunk)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", action="append", choices=wireNames())
    arguments = parser.parse_args()
    print("calls for an echo on 10 streams, beside so many idle ones")
    print(f"{'':8}" + "".join(f"{idle:8,}" for idle in IDLE))
    for wire in arguments.wire or wireNames():
        print(f"{wire:8}" + "".join(f"{calls(wire, idle):8,}" for idle in IDLE))


if __name__ == "__main__":
    main()
