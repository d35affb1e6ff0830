"""
A small corpus out of a large one: as few inputs as still take every step that any of
them takes.

A step is a pair of lines of C{twisted_mux} that were run one after the other.  That
is coarser than what libFuzzer looks at while it searches (how often, and which
numbers were compared), which keeps thousands of inputs: for the corpus that
everybody has, and for the tests that replay it, a few dozen that reach all there is
are worth more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import twisted_mux
from tests.fuzz.target import Target
from tests.fuzz.targets import KEPT, inputs, store

_PACKAGE = str(Path(twisted_mux.__file__).parent)
#: Where: the name of a file, the line before, and the line.
Step: TypeAlias = "tuple[str, int, int]"


def stepsOf(run: Callable[[bytes], None], data: bytes) -> set[Step]:
    """
    The steps that an input takes.
    """
    steps: set[Step] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE):
            return None
        last = 0

        def follow(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return follow

        return follow

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return steps


def minimise(target: Target, source: Path, corpus: Path) -> None:
    """
    Make a target's corpus anew, out of it and what else there is.  What once found
    something stays.
    """
    contents = {path.read_bytes() for path in (*inputs(source), *inputs(corpus))}
    contents.update(target.seeds())
    # The shortest first, so that of two that do the same that one is taken.
    steps = {
        data: stepsOf(target.run, data)
        for data in sorted(contents, key=lambda data: (len(data), data))
    }
    left = set[Step]().union(*steps.values())
    total = len(left)
    for path in inputs(corpus):
        if path.name.startswith(KEPT):
            left -= steps.pop(path.read_bytes())
        else:
            path.unlink()
    chosen: list[bytes] = []
    while left:
        best = max(steps, key=lambda data: len(steps[data] & left))
        left -= steps.pop(best)
        chosen.append(best)
    size = 0
    for data in chosen:
        size += len(data)
        store(corpus, data)
    print(
        f"{target.name:15} {len(contents):5} inputs, {len(chosen):3} kept, "
        f"{size:6} bytes, {total:5} steps",
        flush=True,
    )
