"""
What is left when all is over: of sessions, of streams, and of what a reactor looks
after for them.  There must be nothing.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import globalLogBeginner, globalLogPublisher

from twisted_mux.carriers import Carrier
from twisted_mux.connecting import Connecting
from twisted_mux.engine.session import Session
from twisted_mux.engine.stream import Stream
from twisted_mux.opening import Opening
from twisted_mux.protocol import MuxProtocol
from twisted_mux.transport import StreamTransport

#: What is made for carriers and streams, and goes with them.
KINDS = (
    Carrier,
    Connecting,
    MuxProtocol,
    Opening,
    Session,
    Stream,
    StreamTransport,
)


def objectsLeft(*more: type) -> dict[str, int]:
    """
    How many objects there are of each of L{KINDS}, and of C{more} types; those that
    are there only as rubbish don't count.
    """
    gc.collect()
    kinds = KINDS + more
    # Not isinstance, which asks proxies, too, and they may have lost their object.
    return dict(
        Counter(
            type(each).__name__
            for each in gc.get_objects()
            if issubclass(type(each), kinds)
        )
    )


@contextmanager
def leavingNothing() -> Iterator[None]:
    """
    What happens within leaves none of those objects behind.  What there was before
    is not looked at, which is what makes it fast.
    """
    with _unbuffered():
        gc.collect()
        gc.freeze()
        try:
            yield
            left = objectsLeft()
            assert not left, left
        finally:
            gc.unfreeze()


@contextmanager
def _unbuffered() -> Iterator[None]:
    # Until somebody begins to log, Twisted keeps what is logged, and so the sessions
    # that log it.
    buffer = getattr(globalLogBeginner, "_temporaryObserver", None)
    if buffer is None:
        yield
        return
    globalLogPublisher.removeObserver(buffer)
    try:
        yield
    finally:
        globalLogPublisher.addObserver(buffer)


def reactorsWork(reactor: Any) -> list[object]:
    """
    What a real reactor has still to look after, beside its own wakers: delayed calls,
    readers, writers.
    """
    internal = {id(each) for each in getattr(reactor, "_internalReaders", ())}
    return [
        each
        for each in (
            *reactor.getDelayedCalls(),
            *reactor.getReaders(),
            *reactor.getWriters(),
        )
        if id(each) not in internal
    ]
