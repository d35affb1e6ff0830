"""
A reactor's time without a reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

#: Turns after which L{VirtualClock.settle} takes it that there is no end.
MOST_TURNS = 1_000_000


class Restless(Exception):
    """
    There was always something more to be done at once.
    """


class _Call(DelayedCall):
    """
    A delayed call that knows in which turn it can run first.
    """

    clock: VirtualClock
    turn: int

    def reset(self, secondsFromNow: float) -> None:
        super().reset(secondsFromNow)
        self.clock.moved(self)


class VirtualClock(Clock):
    """
    A L{Clock<twisted.internet.task.Clock>} that keeps to a reactor's order of
    events.

    As in a reactor, and other than in that clock, what a turn puts off with
    C{callLater(0)}, or with C{reset(0)}, is done in another turn, behind all
    that was put off before; what can be read and written comes behind all
    delayed calls that are due; and every call finds the time for which it was
    asked, however far the clock is advanced at once.
    """

    calls: list[Any]
    _turns = 0

    def __init__(self) -> None:
        super().__init__()
        self._after: list[Callable[[], object]] = []

    def callAfter(self, function: Callable[[], object]) -> None:
        """
        Call C{function} in the second half of the next turn: where a reactor
        looks after what can be read and written.
        """
        self._after.append(function)

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        """
        See L{twisted.internet.interfaces.IReactorTime.callLater}.
        """
        call = _Call(
            self.seconds() + delay,
            callable,
            args,
            kw,
            self.calls.remove,
            lambda call: None,
            self.seconds,
        )
        call.clock = self
        call.turn = self._turns + 1
        self.calls.append(call)
        self._sort()
        return call

    def moved(self, call: _Call) -> None:
        """
        A delayed call got another time: it comes behind those that have the
        same.
        """
        self.calls.remove(call)
        self.calls.append(call)
        call.turn = self._turns + 1
        self._sort()

    def _sort(self) -> None:
        self.calls.sort(key=DelayedCall.getTime)

    def turn(self) -> bool:
        """
        One turn of the reactor: do what is due now, but not what comes up
        meanwhile.

        @return: was anything done?
        """
        self._turns += 1
        self._sort()
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active() and call.turn <= self._turns:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        after = self._after
        self._after = []
        for function in after:
            function()
        return bool(due or after)

    def settle(self, turns: int = MOST_TURNS) -> None:
        """
        Take turns until nothing is left to do without time going by.

        @param turns: how many, at most.
        @raise Restless: there was still something to do.
        """
        while self.turn():
            turns -= 1
            if not turns:
                raise Restless(f"there is something to do still: {self.calls}")

    def advance(self, amount: float) -> None:
        """
        Let so many seconds go by, and do all that falls due, each at its time.
        """
        until = self.rightNow + amount
        self.settle()
        while self.calls and self.calls[0].getTime() <= until:
            self.rightNow = self.calls[0].getTime()
            self.settle()
        self.rightNow = until
