"""
The two engines of L{tests.property.test_engines}, without end: hypothesis' machine
with many examples, which shrinks what it finds, and runs by a random number, which
are many times as fast.
"""

from __future__ import annotations

import argparse
import random
import time
import traceback
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.test_engines import STEPS, atRandom, machineOf

# Of hypothesis' machine at a time, and runs by number behind it.
_EXAMPLES = 40
_RUNS = 40


def addArguments(parser: argparse._ArgumentGroup) -> None:
    """
    Our own options.
    """
    parser.add_argument(
        "--seed", type=int, help="repeat the run with this number, on each wire"
    )


def byHypothesis(wire: str) -> None:
    """
    Many examples of hypothesis' machine.
    """
    run_state_machine_as_test(
        machineOf(wire),
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=2 * STEPS,
            suppress_health_check=list(HealthCheck),
            # Nothing is kept: each round is another one.
            database=None,
            derandomize=False,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            print_blob=True,
        ),
    )


def run(options: Any) -> bool:
    """
    Run until the time is over, or something is found.
    """
    if options.seed is not None:
        for wire in options.wires:
            atRandom(wire, options.seed)
        return True
    done: Counter[str] = Counter()
    until = time.monotonic() + options.minutes * 60
    # One round in any case.
    while not done or time.monotonic() < until:
        for wire in options.wires:
            seed = -1
            try:
                byHypothesis(wire)
                for _ in range(_RUNS):
                    seed = random.getrandbits(48)
                    atRandom(wire, seed)
            except Exception:
                traceback.print_exc()
                how = "above" if seed < 0 else f"--seed {seed}"
                print(f"{wire}: found; to repeat it: {how} --wire {wire}")
                return False
            done[wire] += 1
    for wire, rounds in done.items():
        print(
            f"{wire:8} {rounds * _EXAMPLES:7} examples of hypothesis, "
            f"{rounds * _RUNS:7} runs by number"
        )
    return True
