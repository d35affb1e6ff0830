"""
What the processes in Python have in common: how they report, and how they end.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from time import perf_counter

from tests.benchmarks.job import Job


def say(**values: object) -> None:
    """
    Write one line for the harness.
    """
    print(json.dumps(values), flush=True)


def fatal(error: object = None) -> None:
    """
    End at once because something went wrong.
    """
    if isinstance(error, BaseException):
        traceback.print_exception(error, file=sys.stderr)
    else:
        print(error, file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def limited(job: Job) -> None:
    """
    Whatever happens to the harness, this process does not stay for ever.
    """
    signal.alarm(job.limit)


def raiseLimits() -> None:
    """
    Be allowed as many connections as may be.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def residentBytes() -> int:
    """
    What this process has of the machine's memory.
    """
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(ordered: Sequence[float], share: float) -> float:
    """
    The value below which that share of them lies.
    """
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Meter:
    """
    Counts what happens between two instants, and reports it.

    @ivar count: bytes, messages, or whatever else, since the beginning.
    @ivar times: seconds of each round trip, where they are wanted.
    """

    def __init__(
        self, job: Job, callLater: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self.count = 0
        self.times: list[float] = []
        self.running = False
        self._job = job
        self._callLater = callLater
        self._before = 0
        self._began = 0.0

    def begin(self) -> None:
        """
        Everything is under way: measure when it is warm.  A second time nothing
        happens.
        """
        if not self.running:
            self.running = True
            self._callLater(self._job.warm, self._start)

    def _start(self) -> None:
        self.times.clear()
        self._before = self.count
        self._began = perf_counter()
        self._callLater(self._job.seconds, self._end)

    def _end(self) -> None:
        elapsed = perf_counter() - self._began
        done = self.count - self._before
        result = {"rate": done / elapsed, "count": done, "seconds": elapsed}
        if self._job.latency:
            if not self.times:
                fatal("not one message came back")
            ordered = sorted(self.times)
            result["p50"] = percentile(ordered, 0.5) * 1e6
            result["p99"] = percentile(ordered, 0.99) * 1e6
        say(result=result)
