"""
The last lines of the log that are about tunnels and carriers.

This package masks what must stay secret before it logs anything.  That is done here
once more: what the log of the process may have by mistake, a page must not spread.
"""

from __future__ import annotations

from collections import deque

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

from twisted_mux.masking import maskedIn

__all__ = ["KEPT", "Messages"]

#: How many lines are kept.
KEPT = 50
#: How many characters of each.
LONGEST = 400


@implementer(ILogObserver)
class Messages:
    """
    An observer that keeps what this package says.

    @ivar lines: time, level and text of each, the oldest first.
    """

    def __init__(self) -> None:
        self.lines: deque[tuple[float, str, str]] = deque(maxlen=KEPT)

    def start(self) -> None:
        """
        From now on.
        """
        globalLogPublisher.addObserver(self)

    def stop(self) -> None:
        """
        No more.
        """
        globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """
        Something is logged.
        """
        if (
            event.get("log_namespace", "").startswith("twisted_mux.")
            and event["log_level"] >= LogLevel.info
        ):
            text = maskedIn(formatEvent(event))[:LONGEST]
            line = (event["log_time"], event["log_level"].name, text)
            # What is said while a program starts comes again, when its log begins.
            if line not in self.lines:
                self.lines.append(line)
