"""
The model of one stream, from one end: what was written to it and done to it, and what
may be seen there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.property.pipe import Driver, User
from twisted_mux.engine.states import State

_NOISE = random.Random(1).randbytes(1_000_003)


def noise(offset: int, size: int) -> bytes:
    """
    Bytes of which every stretch of a few is somewhere else than any other.
    """
    offset %= len(_NOISE)
    data = _NOISE[offset : offset + size]
    return data if len(data) == size else data + noise(0, size - len(data))


class End(User):
    """
    One end of a stream, and what was done there.

    @ivar other: the other end, as soon as there is one.
    @ivar written: what was written to it.
    @ivar seed: where its noise begins.
    @ivar endedWriting: was its direction ended?
    @ivar left: was it left?
    @ivar dropped: was it reset?
    @ivar armed: what to do at events that are still to come.
    @ivar giveBack: how many bytes of the next chunk to give back.
    @ivar extra: by how many bytes its window was made wider.
    """

    other: End | None = None

    def __init__(self, driver: Driver, seed: int) -> None:
        super().__init__(driver)
        self.written = bytearray()
        self.seed = seed
        self.endedWriting = False
        self.left = False
        self.dropped = False
        self.armed: dict[str, Callable[[End], None]] = {}
        self.giveBack = 0
        self.extra = 0

    # What is done.

    def write(self, size: int) -> None:
        if self.stream.writable and not self.finished and not self.over:
            data = noise(self.seed + len(self.written), size)
            self.written += data
            self.stream.write(data)

    def endWriting(self) -> None:
        self.endedWriting = True
        self.stream.endWriting()

    def widen(self, size: int) -> None:
        """
        Let the peer send so much more, once.
        """
        stream = self.stream
        session = self.driver.session
        if stream.state not in (State.OPEN, State.LOCAL_ENDED) or session.over:
            return
        self.extra += size
        stream.receiveCredit += size
        stream.granted += size
        # As the engine does it for a reader that has taken something.
        consumed = stream.granted - stream.receiveCredit - stream.held
        window = stream.receiveCredit + stream.held
        session.control(session.codec.encodeCredit(stream.key, size, consumed, window))

    def leave(self) -> None:
        if not self.finished:
            self.left = True
        super().leave()

    def reset(self) -> None:
        if not self.stream.gone:
            self.dropped = True
        super().reset()

    # What is seen.

    def dataReceived(self, data: bytes) -> None:
        assert self.other is not None
        start = len(self.received)
        assert self.other.written[start : start + len(data)] == data
        super().dataReceived(data)
        if self.giveBack and not self.finished:
            size = min(self.giveBack, len(data))
            self.giveBack = 0
            del self.received[len(self.received) - size :]
            self.stream.unread(data[len(data) - size :])

    def streamEnded(self) -> None:
        other = self.other
        if other is None:
            # Refused, on a wire that has no reset.
            assert not self.driver.session.capabilities.reset
        else:
            assert other.endedWriting or other.left or other.dropped
            if not other.dropped:
                assert self.received == other.written
        super().streamEnded()

    def streamReset(self, code: int) -> None:
        assert self.driver.session.capabilities.reset
        assert self.other is None or self.other.dropped or self.other.left
        super().streamReset(code)

    def streamLost(self, error: Any) -> None:
        assert self.driver.session.over
        super().streamLost(error)

    def _event(self, *event: Any) -> None:
        super()._event(*event)
        action = self.armed.pop(event[0], None)
        if action is not None and not self.finished:
            action(self)
