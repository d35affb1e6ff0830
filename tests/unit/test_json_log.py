"""
Logs for programs to read.
"""

from __future__ import annotations

import io
import json

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure

from twisted_mux.json_log import jsonLines


def lineFor(event: LogEvent) -> dict[str, object]:
    """
    What a log has for an event: one line.
    """
    stream = io.StringIO()
    jsonLines(stream)({"log_time": 0.5, "log_level": LogLevel.info, **event})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    content: dict[str, object] = json.loads(text)
    return content


def test_fields() -> None:
    """
    The message is there as text, and the event's plain fields beside it.
    """
    assert lineFor(
        {
            "log_namespace": "here",
            "log_format": "tunnel {tunnel}: {count} of {thing!r}\n",
            "log_logger": Logger("here"),
            "tunnel": "é",
            "count": 2,
            "thing": object,
            "isError": 0,
            "time": 7,
        }
    ) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "info",
        "system": "here",
        "message": "tunnel é: 2 of <class 'object'>\n",
        "tunnel": "é",
        "count": 2,
    }


def test_undecodable() -> None:
    """
    Text that has no encoding, as names of files may be, is logged all the same.
    """
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    event = {"log_time": 0.5, "log_level": LogLevel.info, "log_format": "a\udcff"}
    jsonLines(stream)(event)
    stream.seek(0)
    assert json.loads(stream.read())["message"] == "a\udcff"


def test_failure() -> None:
    """
    What went wrong is there with its traceback.
    """
    line = lineFor({"log_format": "oh", "log_failure": Failure(ValueError("no"))})
    assert line["system"] == "-"
    assert "ValueError: no" in str(line["traceback"])
