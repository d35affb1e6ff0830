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
        title=f"{findings.case.title}: {figure.unit}, {CORES[findings.layout]}",
        title_justify="left",
    )
    made.add_column(findings.case.name, no_wrap=True)
    for heading in ("median", "range", f"x {findings.yardstick}", "range"):
        made.add_column(heading, justify="right")
    for entry in findings.rounds:
        cells = [*ranged(findings.summary(entry, figure))]
        if findings.yardstick in findings.rounds:
            ratio = findings.ratio(entry, figure)
            cells += [f"{ratio.median:.2f}", f"{ratio.low:.2f} … {ratio.high:.2f}"]
        mark = " (any core)" if entry in findings.unpinned else ""
        made.add_row(entry + mark, *cells)
    return made


def show(console: Console, findings: Findings) -> None:
    """
    Print what a case found.
    """
    for figure in findings.case.figures:
        console.print(table(findings, figure))
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
