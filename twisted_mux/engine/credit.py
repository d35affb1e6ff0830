"""
The arithmetic of windows, and nothing else.

Each direction of a stream has one counter that changes with every frame: what
may still come (C{receiveCredit}) or still be sent (C{sendCredit}).  Next to it
stands the sum of all that was ever granted, so that the totals follow by
subtraction, and no frame pays for counting them::

    received = granted - receiveCredit        sent = allowed - sendCredit

A wire without credit is one whose grants are made and taken silently: both
counters start at L{UNBOUNDED} and are filled up again long before they run
out.

B{When credit is returned.}  What the reader has taken is granted again in steps
(L{grantStep}): three eighths of an ordinary window, so that a full window costs
two or three frames; an eighth of a large one, since what has been taken and not
yet granted is a part of the window that the sender can't use, and on a long
link that is throughput.

B{How wide a window should be.}  The sender is never held up if the window holds
what it sends in a round trip plus the step.  A sender that is held up sends no
less than that in a round trip: the window without the step, and often no more,
since a grant that falls due a few bytes beyond the window has to wait for those
bytes until the one before it has arrived.  So the window is doubled when what
the reader took between two grants, per round trip, is more than two thirds of
that (L{Tuner}); the third is for round trips that vary.  A slow stream never asks for that, and
an idle one makes no grants at all.  The two grants are at least a round trip
apart: a sender that writes large chunks now and then, or a reader that pauses
and then takes all that waited, makes several grants at nearly the same moment,
and those say nothing of its pace.  libp2p's rule (double when a window is used
up within four round trips) needs the same two numbers, but doubles more readily
and keeps windows that large for good.

Where the peer is very near, grants would follow each other very fast, and each
wakes both sides.  So a round trip counts as no shorter than two milliseconds: a
window then holds what even a fast stream carries in that time.

Where the wire has no ping the round trip is taken from the grants: from the
moment of a grant to the first byte beyond the limit that the sender knew before
it.  That is the round trip exactly when the sender was held up, the case in
which it is needed, and longer otherwise.  Taken too long it would let the
window of a stream at a constant pace grow without need: such a stream looks as
if it carried up to a window per round trip.  So an estimate is weighed down to
three quarters, and has to be worth half of the window: then the window is
doubled for nothing once or so, and no more, since the shortest estimate counts.
A sender that is held up reaches that with steps of three eighths, wherever its
frames end; with halves it would get stuck at half a window per round trip.
(Watching for a sender that stops exactly at its limit was the alternative; but
one that sends whole frames of a divisor of the window stops there all the time.)
"""

from __future__ import annotations

from twisted_mux.errors import FlowControlError

#: The "credit" of wires without credit, low enough to stay a small integer.
UNBOUNDED = 2**30 - 1
#: More than is ever left of any credit.
NEVER = 2**60

_COUNTER = 0x100000000
_HALF_COUNTER = 0x80000000
# Seconds between grants that windows are wide enough for, at least.
_PACE = 0.002
# Windows up to this size are ordinary.
_PLAIN_WINDOW = 256 * 1024


def grantStep(window: int) -> int:
    """
    How many bytes the reader takes before they are granted again.
    """
    if window <= _PLAIN_WINDOW:
        return (3 * window + 7) // 8
    return max(3 * _PLAIN_WINDOW // 8, window // 8)


def addCredit(credit: int, delta: int, maximum: int) -> int:
    """
    The send credit after a grant of C{delta}.

    @raise FlowControlError: the sum is more than the wire can count.
    """
    credit += delta
    if credit > maximum:
        raise FlowControlError(f"credit of {credit} bytes is past the wire's {maximum}")
    return credit


def windowCredit(sent: int, consumed: int, window: int) -> int:
    """
    The send credit after the peer said how much it had consumed, modulo 2^32,
    and how wide its window is.  It is negative when a window was made narrower
    than what is under way.

    @raise FlowControlError: the peer has consumed more than was sent.
    """
    underWay = (sent - consumed) % _COUNTER
    if underWay >= _HALF_COUNTER:
        raise FlowControlError(
            f"the peer consumed {_COUNTER - underWay} bytes more than the {sent} that were sent"
        )
    return window - underWay


class Tuner:
    """
    Widens the window of one stream.  Made when a stream returns credit for the
    first time, so that idle streams have none.

    @ivar window: the window, in bytes, that the last grant brought about.
    """

    __slots__ = ("_markAt", "_marked", "_pending", "_taken", "_updatedAt", "window")

    def __init__(self, window: int, consumed: int, now: float) -> None:
        """
        @param consumed: all that the reader has taken of the stream until now;
            how long that took is not known.
        """
        self.window = window
        self._updatedAt = now
        self._taken = consumed
        # The limit that the sender knew before the last grant, and when that
        # grant was made: passing it gives a round trip.
        self._marked = 0
        self._markAt = now
        self._pending = False

    def roundTrip(self, received: int, now: float) -> float:
        """
        What the bytes that have arrived say of the round trip: an upper
        estimate in seconds, or 0 if there is none to be had now.
        """
        if self._pending and received > self._marked:
            self._pending = False
            return now - self._markAt
        return 0.0

    def granted(self, limit: int, now: float) -> None:
        """
        A grant goes out now; until it arrives the sender knows C{limit}.
        """
        if not self._pending:
            self._pending = True
            self._marked = limit
            self._markAt = now

    def wanted(self, consumed: int, roundTrip: float, exact: bool, now: float) -> int:
        """
        The window that is called for, in bytes: as it is, or doubled.

        @param consumed: all that the reader has taken of the stream.
        @param roundTrip: seconds; 0 when it is not known.
        @param exact: was it measured by ping rather than estimated?
        """
        if exact:
            enough = (self.window - grantStep(self.window)) * 2 / 3
        else:
            enough = self.window / 2
            roundTrip *= 0.75
        if roundTrip < _PACE:
            roundTrip = _PACE
        elapsed = now - self._updatedAt
        if elapsed < roundTrip:
            return self.window
        taken = consumed - self._taken
        self._updatedAt = now
        self._taken = consumed
        # taken / elapsed * roundTrip > enough, without the division by 0
        if taken * roundTrip > enough * elapsed:
            return self.window * 2
        return self.window
