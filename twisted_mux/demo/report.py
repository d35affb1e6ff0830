"""
What the demo found out, and how it is shown: progress, a table, JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Report", "WireResult", "asJSON", "asTable", "complaints", "progressOn"]

# Of the failures of one wire, so many are kept and shown; all are counted.
SHOWN_FAILURES = 5


@dataclass
class WireResult:
    """
    What came of one wire; the numbers grow while it runs.

    @ivar files: how many files there are to fetch.
    @ivar bytes: how many bytes of files have arrived.
    @ivar streams: how many fetches were under way at the same time, at most; each
        is one stream.
    @ivar connections: how many TCP connections the server has accepted.
    @ivar seconds: how long all fetches took together.
    @ivar verified: how many files arrived as they are on the disk.
    @ivar failed: how many did not.
    @ivar failures: a line about each of the first of these.
    """

    wire: str
    files: int
    bytes: int = 0
    streams: int = 0
    connections: int = 0
    seconds: float = 0.0
    verified: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """
        How many files need no more work.
        """
        return self.verified + self.failed

    @property
    def ok(self) -> bool:
        """
        Whether the demo's claim holds: every file, over one connection.
        """
        return self.verified == self.files and self.connections == 1

    @property
    def megabytesPerSecond(self) -> float:
        """
        Millions of bytes of files in a second, whatever carried them not counted.
        """
        return self.bytes / 1e6 / self.seconds if self.seconds else 0.0

    def addFailure(self, name: str, error: BaseException) -> None:
        """
        Count a file that did not arrive as it is on the disk.
        """
        self.failed += 1
        if len(self.failures) < SHOWN_FAILURES:
            self.failures.append(f"{name}: {explain(error)}")

    def asDictionary(self) -> dict[str, Any]:
        """
        For JSON.
        """
        return {
            "wire": self.wire,
            "files": self.files,
            "bytes": self.bytes,
            "streams": self.streams,
            "tcpConnections": self.connections,
            "seconds": round(self.seconds, 3),
            "megabytesPerSecond": round(self.megabytesPerSecond, 1),
            "verified": self.verified,
            "failures": self.failures,
        }


# Called after each file with the result of its wire so far.
Report = Callable[[WireResult], None]


def explain(error: BaseException) -> str:
    """
    An exception in one line.  An Agent wraps what went wrong in a list of reasons.
    """
    reasons = getattr(error, "reasons", None)
    if reasons:
        return explain(reasons[0].value)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_HEADINGS = (
    "wire",
    "files",
    "bytes",
    "streams",
    "TCP connections",
    "seconds",
    "MB/s",
    "verified",
)


def asTable(path: Path, results: Sequence[WireResult]) -> str:
    """
    The folder, and a table with a line for each wire.
    """
    rows: list[tuple[str, ...]] = [
        _HEADINGS,
        *(
            (
                result.wire,
                f"{result.files:,}",
                f"{result.bytes:,}",
                f"{result.streams:,}",
                f"{result.connections:,}",
                f"{result.seconds:.2f}",
                f"{result.megabytesPerSecond:.1f}",
                "all" if result.verified == result.files else f"{result.verified:,}",
            )
            for result in results
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = [
        "  ".join(
            # The wire's name to the left, numbers to the right.
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(["", f"Files below {path}:", "", *lines])


def asJSON(path: Path, results: Sequence[WireResult]) -> str:
    """
    What L{asTable} shows, and the failures.
    """
    return json.dumps(
        {
            "path": str(path),
            "verified": all(result.ok for result in results),
            "wires": [result.asDictionary() for result in results],
        },
        indent=2,
    )


def complaints(results: Sequence[WireResult]) -> Iterator[str]:
    """
    Why the results are not all L{ok<WireResult.ok>}, a line for each reason.
    """
    for result in results:
        for failure in result.failures:
            yield f"{result.wire}: {failure}"
        if more := result.failed - len(result.failures):
            yield f"{result.wire}: and {more:,} more"
        if result.connections != 1:
            yield f"{result.wire}: {result.connections:,} TCP connections were used"


def progressOn(stream: TextIO, quiet: bool = False) -> AbstractContextManager[Report]:
    """
    Show the progress while in the context: as a bar where C{stream} is a terminal
    and C{rich} is installed, as a line now and then elsewhere.

    @param quiet: show none.
    """
    if quiet:
        return nullcontext(lambda result: None)
    if stream.isatty() and find_spec("rich") is not None:
        return _bars(stream)
    return nullcontext(_lines(stream))


def _lines(stream: TextIO) -> Report:
    """
    A line for every quarter of a wire's files.
    """

    def report(result: WireResult) -> None:
        quarter = -(-result.files // 4)
        if result.done % quarter == 0 or result.done == result.files:
            print(
                f"{result.wire}: {result.done:,} of {result.files:,} files",
                file=stream,
                flush=True,
            )

    return report


@contextmanager
def _bars(stream: TextIO) -> Iterator[Report]:
    """
    A bar for each wire.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
    )
    from rich.text import Text

    class Seconds(ProgressColumn):
        """
        How long it has taken: too short for rich's own, which has no tenths.
        """

        def render(self, task: Task) -> Text:
            """
            See L{ProgressColumn}.
            """
            seconds = task.finished_time if task.finished else task.elapsed
            return Text(f"{seconds or 0:.1f} s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        Seconds(),
    )
    with Progress(*columns, console=Console(file=stream)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(result: WireResult) -> None:
            if result.wire not in tasks:
                tasks[result.wire] = progress.add_task(result.wire, total=result.files)
            progress.update(tasks[result.wire], completed=result.done)

        yield report
