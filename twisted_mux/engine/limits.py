"""
Budgets against a peer that stays within the protocol and still does harm.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeVar


class TokenBucket:
    """
    So much at once, and so much per second thereafter.
    """

    __slots__ = ("_burst", "_filledAt", "_rate", "_tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = float(burst)
        self._rate = float(rate)
        self._tokens = self._burst
        self._filledAt = now

    def take(self, now: float, amount: float = 1) -> bool:
        """
        Take C{amount}.

        @return: was there as much?  If not, none is taken.
        """
        tokens = self._tokens
        if now > self._filledAt:
            # Never put off: time in which it was full brings nothing.
            tokens = min(self._burst, tokens + (now - self._filledAt) * self._rate)
            self._filledAt = now
        enough = tokens >= amount
        self._tokens = tokens - amount if enough else tokens
        return enough


T = TypeVar("T", bound=Hashable)


class Timeouts(dict[T, float]):
    """
    Things that all have the same time, so that the order in which they were
    started is that in which they are due: start, stop and the next one due cost
    the same however many there are.

    They are the keys of the dictionary; one is stopped by taking it out.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        """
        @param seconds: the time; 0 is for ever.
        """
        super().__init__()
        self.seconds = seconds

    def start(self, item: T, now: float) -> None:
        """
        Count from now, afresh if it was started before.
        """
        self.pop(item, None)
        self[item] = now + self.seconds

    def next(self) -> float | None:
        """
        When the first one is due, or C{None} if there is none.
        """
        if not self.seconds:
            return None
        for due in self.values():
            return due
        return None

    def expired(self, now: float) -> Iterator[T]:
        """
        Those that are due, each stopped before it is given.
        """
        while True:
            due = self.next()
            if due is None or due > now:
                return
            item = next(iter(self))
            del self[item]
            yield item


class RecentKeys:
    """
    The keys of the streams that went away last: that many at least, and fewer than
    twice as many.
    """

    __slots__ = ("_most", "_newer", "_older")

    def __init__(self, most: int) -> None:
        # Two generations, so that the oldest are forgotten all at once: nothing is
        # spent on a single key but its entry.
        self._newer: set[Hashable] = set()
        self._older: set[Hashable] = set()
        self._most = most

    def add(self, key: Hashable) -> None:
        """
        Remember a key, as the newest.
        """
        newer = self._newer
        newer.add(key)
        if len(newer) >= self._most:
            self._older = newer
            self._newer = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._newer or key in self._older

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)
