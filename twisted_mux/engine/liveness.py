"""
Is the peer still there, and how far away is it?

A session pings, where its wire can, every C{keepAlive} seconds; or sends a frame
without effect, where the peer would otherwise time it out.  It gives the peer
up when it has heard B{nothing at all} for C{keepAliveTimeout} seconds after a
ping (or since whenever, on wires without one).  A pong that is late behind bulk
data is not a dead peer, which is why any byte counts; hashicorp's and others'
count the pong alone.
"""

from __future__ import annotations

from collections.abc import Callable

_MOST_PINGS = 1024


class Liveness:
    """
    The pings of one session, and what they tell.

    @ivar lastReceived: when something last arrived, in seconds.
    @ivar roundTrip: the shortest round trip seen, in seconds; 0 if none yet.
    @ivar lastRoundTrip: the latest round trip measured by ping, likewise.
    @ivar measured: was C{roundTrip} measured by ping?
    """

    __slots__ = (
        "_interval",
        "_pings",
        "_probeAt",
        "_silence",
        "_value",
        "lastReceived",
        "lastRoundTrip",
        "measured",
        "roundTrip",
    )

    def __init__(self, interval: float, silence: float, now: float) -> None:
        """
        @param interval: seconds between keep-alive frames; 0 is never.
        @param silence: seconds without anything from the peer after which it
            is given up; 0 is never.
        """
        self._interval = interval
        self._silence = silence
        self._probeAt = now + interval
        self._pings: dict[int, float] = {}
        self._value = 0
        self.lastReceived = now
        self.roundTrip = 0.0
        self.lastRoundTrip = 0.0
        self.measured = False

    @property
    def pinging(self) -> bool:
        """
        Is a ping under way?
        """
        return bool(self._pings)

    @property
    def full(self) -> bool:
        """
        Are so many pings unanswered that no other should be sent?
        """
        return len(self._pings) >= _MOST_PINGS

    def ping(self, now: float) -> int:
        """
        A ping goes out now.

        @return: the value to send with it.
        """
        self._value = (self._value + 1) & 0xFFFFFFFF
        self._pings[self._value] = now
        return self._value

    def pong(self, value: int, now: float) -> float | None:
        """
        A ping was answered.

        @return: the round trip in seconds, or C{None} if nobody asked.
        """
        sentAt = self._pings.pop(value, None)
        if sentAt is None:
            return None
        self.lastRoundTrip = now - sentAt
        if not self.measured or self.lastRoundTrip < self.roundTrip:
            self.roundTrip = self.lastRoundTrip
            self.measured = True
        return self.lastRoundTrip

    def estimate(self, seconds: float) -> None:
        """
        The round trip is at most that long, by what the data says.
        """
        if seconds > 0 and not self.measured and not 0 < self.roundTrip <= seconds:
            self.roundTrip = seconds

    def next(self) -> float | None:
        """
        When L{tick} has something to do, or C{None} if never.
        """
        due = [self._probeAt] if self._interval else []
        if self._silence:
            silent = self._silentSince()
            if silent is not None:
                due.append(silent + self._silence)
        return min(due, default=None)

    def _silentSince(self) -> float | None:
        for sentAt in self._pings.values():
            return max(sentAt, self.lastReceived)
        return None

    def tick(self, now: float, pings: bool, probe: Callable[[], None]) -> float:
        """
        Do what is due.

        @param pings: does the wire have an answered ping?  Without, the time
            of silence counts from the last byte that arrived.
        @param probe: called to send a keep-alive frame.
        @return: for how long, in seconds, the peer has owed us a sign of
            life, if that is longer than it may; else 0.
        """
        if self._interval and now >= self._probeAt:
            self._probeAt = now + self._interval
            probe()
        if not self._silence:
            return 0.0
        since = self._silentSince() if pings else self.lastReceived
        # By the sum that L{next} gives: the difference may round to less.
        if since is None or now < since + self._silence:
            return 0.0
        return now - since
