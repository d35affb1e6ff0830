"""
Tables of what was found, and the file with all of it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.building import goVersion
from tests.benchmarks.cases import Figure
from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.figures import Summary
from tests.benchmarks.targets import Verdict

CORES = {"one": "both processes on one core", "two": "one core each"}


def number(value: float) -> str:
    """
    As many digits as say something.
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ranged(values: Summary) -> tuple[str, str]:
    """
    Median and range, in words.
    """
    return number(values.median), f"{number(values.low)} … {number(values.high)}"


def table(findings: Findings, figure: Figure) -> Table:
    """
    One figure of one case on one layout.
    """
    made = Table(
        title=f"{_title(findings)}: {figure.unit}",
        title_justify="left",
    )
    made.add_column(findings.case.name, no_wrap=True)
    for heading in ("median", "range", _by(findings), "range"):
        made.add_column(heading, justify="right", no_wrap=True)
    for entry in findings.rounds:
        cells = [*ranged(findings.summary(entry, figure))]
        if findings.comparable(entry):
            ratio = findings.ratio(entry, figure)
            cells += [f"{ratio.median:.2f}", f"{ratio.low:.2f} … {ratio.high:.2f}"]
        mark = " (any core)" if entry in findings.unpinned else ""
        made.add_row(entry + mark, *cells)
    return made


def plainTable(findings: Findings) -> Table:
    """
    All figures of a case in which there is no yardstick: their medians.
    """
    made = Table(title=_title(findings), title_justify="left")
    made.add_column(findings.case.name, no_wrap=True)
    for figure in findings.case.figures:
        made.add_column(figure.unit, justify="right")
    for entry in findings.rounds:
        values = (findings.summary(entry, each) for each in findings.case.figures)
        made.add_row(entry, *(number(value.median) for value in values))
    return made


def _title(findings: Findings) -> str:
    if findings.case.job.alone:
        return findings.case.title
    return f"{findings.case.title}, {CORES[findings.layout]}"


def _by(findings: Findings) -> str:
    """
    What the ratios are to.
    """
    yardsticks = set(findings.yardsticks.values())
    return f"x {yardsticks.pop()}" if len(yardsticks) == 1 else "x its first"


def show(console: Console, findings: Findings) -> None:
    """
    Print what a case found.
    """
    if any(map(findings.comparable, findings.rounds)):
        for figure in findings.case.figures:
            console.print(table(findings, figure))
    elif findings.rounds:
        console.print(plainTable(findings))
    for entry, why in findings.absent.items():
        console.print(f"{entry} is left out: {why}", markup=False)
    for entry, why in findings.failed.items():
        console.print(f"{entry} failed: {why}", markup=False, style="red")


def showVerdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """
    Print which targets are met.
    """
    for verdict in verdicts:
        word, style = ("met", "green") if verdict.met else ("missed", "red")
        console.print(
            f"{word:6} {verdict}", style=style, highlight=False, soft_wrap=True
        )


def processor() -> str:
    """
    The CPU's model.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def environment(of: Sequence[Contestant]) -> dict[str, Any]:
    """
    What the figures depend on.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": f"{sys.implementation.name} {platform.python_version()}",
        "go": goVersion(),
        "kernel": platform.release(),
        "processor": processor(),
        "peers": {each.peer.name: each.peer.version() for each in of},
    }


def document(
    environment: Mapping[str, Any],
    options: Mapping[str, Any],
    found: Sequence[Findings],
    verdicts: Sequence[Verdict],
) -> dict[str, Any]:
    """
    All of it, for JSON.
    """
    return {
        "environment": dict(environment),
        "options": dict(options),
        "findings": [each.raw() for each in found],
        "targets": [
            {**vars(each.target), "entry": each.entry, "ratio": each.ratio}
            | {"met": each.met}
            for each in verdicts
        ],
    }
