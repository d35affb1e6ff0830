"""
What lies between two transports in memory: the kernels, and a network.

A L{Pipe} copies what those do: it holds so much and no more, takes its time, keeps
the order, and carries an end or a reset behind the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted_mux.testing.clock import VirtualClock

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

# What a pipe carries beside bytes.
END = "end"
RESET = "reset"


@dataclass(frozen=True)
class Link:
    """
    One direction of what lies between two transports.

    @ivar delay: seconds from one end to the other.
    @ivar rate: bytes per second; 0 is no bound.
    @ivar capacity: bytes that were sent and not yet read by the other end,
        beyond which no more are taken: what a kernel's two buffers hold.  On a
        link of a known rate it is at least twice what that carries in
        C{delay}.
    @ivar chunk: the most bytes that the other end reads at once.
    @ivar segment: on a link of a known rate, the bytes that arrive together: a
        packet's, or more where a test is about time in the large and shall not
        take as long.
    """

    delay: float = 0.0
    rate: float = 0.0
    capacity: int = 128 * 1024
    chunk: int = 64 * 1024
    segment: int = 1460

    def __post_init__(self) -> None:
        sizes = (self.capacity, self.chunk, self.segment)
        if self.delay < 0 or self.rate < 0 or min(sizes) < 1:
            raise ValueError(f"there is no such link: {self}")

    @property
    def room(self) -> int:
        """
        How many bytes may be under way.
        """
        return max(self.capacity, int(2 * self.rate * self.delay))


class Pipe:
    """
    One direction of a connection.

    @ivar link: how it carries what it is given.
    @ivar unread: bytes that were put in and not taken out.
    @ivar stalled: does nothing get through any more?
    """

    def __init__(self, clock: VirtualClock, link: Link) -> None:
        self.link = link
        self.unread = 0
        self.stalled = False
        self._clock = clock
        self._under: deque[tuple[float, bytes | str]] = deque()
        self._arrived: deque[bytes | str] = deque()
        self._call: IDelayedCall | None = None
        # When the last byte that was put in will have left.
        self._freeAt = 0.0
        self.sender: Callable[[], object] = bool
        self.receiver: Callable[[], object] = bool

    @property
    def room(self) -> int:
        """
        How many bytes can be put in now.
        """
        return self.link.room - self.unread

    @property
    def writable(self) -> bool:
        """
        Is there room enough to be worth a write?  As Linux has it (C{EPOLLOUT}):
        a third; otherwise a full pipe would be fed with ever smaller pieces.
        """
        return self.room > 0 and 2 * self.room >= self.unread

    @property
    def readable(self) -> bool:
        """
        Would L{take} give something?
        """
        return bool(self._arrived)

    @property
    def wasReset(self) -> bool:
        """
        Has a reset arrived?
        """
        return bool(self._arrived) and self._arrived[-1] is RESET

    def put(self, item: bytes | str) -> None:
        """
        Send bytes, or an end, or a reset.
        """
        link = self.link
        if isinstance(item, str):
            self._send(item, 0)
            return
        self.unread += len(item)
        step = link.segment if link.rate else len(item)
        for begin in range(0, len(item), step):
            segment = item[begin : begin + step]
            self._send(segment, len(segment))

    def _send(self, item: bytes | str, size: int) -> None:
        link = self.link
        now = self._clock.seconds()
        if link.rate:
            self._freeAt = max(now, self._freeAt) + size / link.rate
            arrival = self._freeAt + link.delay
        else:
            arrival = now + link.delay
        if arrival <= now and not self._under and not self.stalled:
            self._arrived.append(item)
            self.receiver()
            return
        self._under.append((arrival, item))
        self._wait()

    def _wait(self) -> None:
        if self._call is None and self._under and not self.stalled:
            left = self._under[0][0] - self._clock.seconds()
            self._call = self._clock.callLater(max(0.0, left), self._arrive)

    def _arrive(self) -> None:
        self._call = None
        now = self._clock.seconds()
        while self._under and self._under[0][0] <= now:
            self._arrived.append(self._under.popleft()[1])
        self._wait()
        self.receiver()

    def take(self) -> bytes | str:
        """
        What has arrived: bytes, as many as there are and C{link.chunk} at
        most, or an end, or a reset.
        """
        first = self._arrived.popleft()
        if isinstance(first, str):
            return first
        pieces = [first]
        size = len(first)
        limit = self.link.chunk
        while size < limit and self._arrived:
            piece = self._arrived[0]
            if isinstance(piece, str):
                break
            del self._arrived[0]
            pieces.append(piece)
            size += len(piece)
        data = b"".join(pieces)
        if size > limit:
            self._arrived.appendleft(data[limit:])
            data = data[:limit]
        self.unread -= len(data)
        self.sender()
        return data

    def stall(self, stalled: bool) -> None:
        """
        Let nothing through, or go on with what has been waiting.
        """
        self.stalled = stalled
        if stalled and self._call is not None:
            self._call.cancel()
            self._call = None
        self._wait()

    def clear(self) -> bool:
        """
        Lose all that is in it.

        @return: were there bytes among it?
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None
        anything = self.unread > 0
        self._under.clear()
        self._arrived.clear()
        self.unread = 0
        return anything
