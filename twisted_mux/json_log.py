"""
A log for programs to read: one JSON object on each line.

Twisted's own format has everything that an event carries, so that it can be read back
into one, but not the message as text.  Here it is the other way round: time, level,
who says it, the message, and of the event's own fields those that are plain values,
such as C{tunnel} and C{peer}.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import IO, Any

from twisted.logger import FileLogObserver, LogEvent, formatEvent

__all__ = ["formatAsLine", "jsonLines"]

_PLAIN = (str, int, float, bool)


def formatAsLine(event: LogEvent) -> str:
    """
    An event as JSON, with its line's end.
    """
    when = datetime.fromtimestamp(event["log_time"], timezone.utc)
    content: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": event["log_level"].name,
        "system": event.get("log_namespace", "-"),
        "message": formatEvent(event),
    }
    for key, value in event.items():
        # What Twisted's older functions for logging add, and "time", is not ours.
        if not key.startswith("log_") and type(value) in _PLAIN and key != "isError":
            content.setdefault(key, value)
    failure = event.get("log_failure")
    if failure is not None:
        content["traceback"] = failure.getTraceback()
    # In ASCII: what can't be encoded, as parts of names of files sometimes can't,
    # must not cost the line.
    return json.dumps(content) + "\n"


def jsonLines(stream: IO[Any]) -> FileLogObserver:
    """
    What writes such a log to a file.
    """
    return FileLogObserver(stream, formatAsLine)
