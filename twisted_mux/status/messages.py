"""
The last lines of the log that are about tunnels and carriers, and how they are rid of
what must stay secret.
"""

from __future__ import annotations

import re
from collections import deque

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

__all__ = ["KEPT", "Messages", "masked"]

#: How many lines are kept.
KEPT = 50
#: How many characters of each.
LONGEST = 400

_SECRET = re.compile(r"((?:passw|passphrase|secret|token)\w*=)(?:\\.|[^\\:\s])+")


def masked(text: str) -> str:
    """
    A text with endpoint strings in it, without the passwords in these.
    """
    return _SECRET.sub(r"\1***", text)


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
            text = masked(formatEvent(event))[:LONGEST]
            line = (event["log_time"], event["log_level"].name, text)
            # What is said while a program starts comes again, when its log begins.
            if line not in self.lines:
                self.lines.append(line)
