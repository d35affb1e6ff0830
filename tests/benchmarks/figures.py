"""
The arithmetic of comparisons, and nothing else.

Machines are slower at one time than at another, so figures are compared within a
round, in which all contestants ran one after the other, and what is reported is
the median of the rounds' ratios: never the ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """
    Several values of the same.

    @ivar median: the one in the middle,
    @ivar low: and the smallest,
    @ivar high: and the largest.
    """

    median: float
    low: float
    high: float

    def rounded(self) -> dict[str, float]:
        """
        For JSON.
        """
        return {name: rounded(value) for name, value in vars(self).items()}


def rounded(value: float) -> float:
    """
    With as many digits as measuring ever has, unless it was counted.
    """
    value = float(value)
    if not value.is_integer():
        value = float(f"{value:.4g}")
    return int(value) if value.is_integer() else value


def summary(values: Sequence[float]) -> Summary:
    """
    What they come to.

    @raise ValueError: there are none.
    """
    if not values:
        raise ValueError("there is nothing to summarise")
    return Summary(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], yardsticks: Sequence[float]) -> list[float]:
    """
    Each round's value by the same round's yardstick.

    @raise ValueError: there are not as many of these as of those.
    """
    return [value / by for value, by in zip(values, yardsticks, strict=True)]
