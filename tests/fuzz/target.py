"""
What a target of the fuzzers is, and the bounds on time that all of them have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fuzz.frames import Mutate

#: Makes a similar input: the input, the longest that may come out, a random number,
#: and libFuzzer's own mutator.
Mutator = Callable[[bytes, int, int, Mutate], bytes]

# CPU time that an input may take: so much in any case, and so much for each byte
# of work.  Several hundred times what it takes without instrumentation, so that only
# what grows faster than the input gets there.
_SECONDS = 0.25
_SECONDS_PER_BYTE = 0.0002


class TooSlow(AssertionError):
    """
    An input took more time than its length explains, twice.
    """


@contextmanager
def bounded(size: int) -> Iterator[None]:
    """
    What is done takes time in proportion to C{size}, in bytes.

    @raise TooSlow: it does not.
    """
    began = time.process_time()
    yield
    took = time.process_time() - began
    if took > _SECONDS + _SECONDS_PER_BYTE * size:
        raise TooSlow(f"{took:.3f} seconds for {size} bytes")


@dataclass(frozen=True)
class Target:
    """
    Something that is fuzzed.

    @ivar name: what it is called, and its folder in the corpus.
    @ivar run: takes an input, and raises if that finds something.
    @ivar seeds: the inputs to begin with.
    @ivar mutate: a mutator that knows the format, if there is one.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutator | None = None
