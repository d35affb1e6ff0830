"""
The process of a measurement that needs no other: C{alone WIRE JOB}.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from tests.benchmarks import frame_cost, idle_memory, scaling, virtual_link
from tests.benchmarks.job import Job
from tests.benchmarks.workers.reporting import limited, say

Result = Mapping[str, float]
#: Milliseconds.
FAR = 100
#: For the cost of frames: how many, how often.
FRAMES = 5_000
ROUNDS = 20


def frames(wire: str, job: Job) -> Result:
    """
    What a small frame costs in memory.
    """
    found = frame_cost.measure(wire, FRAMES, ROUNDS)
    return {
        "in": found["in ratio"],
        "both": found["in and out ratio"],
        "best": found["in and out at best"],
        "microseconds": found["in and out"],
    }


def idle(wire: str, job: Job) -> Result:
    """
    What an idle stream takes in memory, without its protocol.
    """
    return {"bytes": idle_memory.measure(wire, job.streams)}


def calls(wire: str, job: Job) -> Result:
    """
    What is done for an echo beside idle streams.
    """
    done = scaling.work(wire, job.idle)
    return {"calls": done.calls, "instructions": done.instructions}


def link(wire: str, job: Job) -> Result:
    """
    What one stream gets out of a link with a long round trip.
    """
    result: dict[str, float] = {}
    for each in virtual_link.ROUND_TRIPS:
        found = virtual_link.throughput(wire, each / 1000)
        result[f"share-{each}"] = found.share
    if wire in virtual_link.creditWires():
        result["slow"] = virtual_link.slowWindow(wire, FAR / 1000)
        result["steady"] = virtual_link.steadyWindow(wire, FAR / 1000)
    return result


KINDS: Mapping[str, Callable[[str, Job], Result]] = {
    "frames": frames,
    "idle": idle,
    "calls": calls,
    "link": link,
}


def main(role: str, wire: str, text: str) -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    say(result=KINDS[job.kind](wire, job))


if __name__ == "__main__":
    main(*sys.argv[1:])
