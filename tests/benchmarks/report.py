"""
Tables of what was found, and the file with all of it.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.building import goVersion
from tests.benchmarks.cases import CASES, Figure
from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import OURS, Contestant
from tests.benchmarks.figures import Summary
from tests.benchmarks.targets import Verdict

#: In the place of a figure that there is not.
NONE = "\N{EN DASH}"
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
    for entry in (*findings.absent, *findings.failed):
        made.add_row(entry, *[NONE] * 4)
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
        made.add_row(
            entry,
            *(
                number(findings.summary(entry, each).median)
                if findings.has(entry, each)
                else NONE
                for each in findings.case.figures
            ),
        )
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
    if not verdicts:
        return
    made = Table(title="targets", title_justify="left")
    for heading in ("", "case", "cores", "entry"):
        made.add_column(heading, no_wrap=True)
    made.add_column("is", justify="right", no_wrap=True)
    for heading in ("of", "wanted"):
        made.add_column(heading)
    for each in verdicts:
        target = each.target
        case = target.case
        if target.figure in ("p50", "p99"):
            case += f" ({target.figure})"
        style = {"met": "green", "missed": "red"}.get(each.word, "")
        made.add_row(
            each.word,
            case,
            target.cores,
            each.entry.removeprefix(f"{OURS} "),
            f"{each.value:.3g}" if abs(each.value) < 100 else number(each.value),
            each.by,
            each.wanted,
            style=style,
        )
    console.print(made)


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
        "targets": [each.raw() for each in verdicts],
    }


def written(document: Mapping[str, Any]) -> str:
    """
    As JSON, a line for each entry, so that differences can be read.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False)
    # What lies within has a line of its own: lists, then objects of nothing but those.
    for inner in (r"[\[{][^\[\]{}]*[\]}]", r"\{(?:[^{}\[\]]|\[[^{}\[\]]*\])*\}"):
        text = re.sub(inner, lambda found: re.sub(r"\s+", " ", found[0]), text)
    return text


def load(text: str) -> tuple[dict[str, Any], list[Findings]]:
    """
    What L{document} was made of, from JSON: all of it, and the findings.  Those of
    cases that there are no more are left out.
    """
    content: dict[str, Any] = json.loads(text)
    return content, [
        Findings.fromRaw(raw) for raw in content["findings"] if raw["case"] in CASES
    ]
