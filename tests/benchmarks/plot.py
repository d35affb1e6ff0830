"""
Draws what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from tests.benchmarks.cases import Figure
from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import OURS

# Inches.
_WIDTH = 8.0
_BAR = 0.28
_MARGIN = 1.1
OUR_COLOUR = "tab:blue"
OTHERS = "tab:gray"


def panels(found: Sequence[Findings]) -> list[tuple[Findings, Figure]]:
    """
    What there is to draw: the figures that have a yardstick.
    """
    return [
        (findings, figure)
        for findings in found
        if any(map(findings.comparable, findings.rounds))
        for figure in findings.case.figures
    ]


def _draw(axes: Axes, findings: Findings, figure: Figure) -> None:
    entries = [entry for entry in findings.rounds if findings.comparable(entry)]
    ratios = [findings.ratio(entry, figure) for entry in entries]
    medians = [ratio.median for ratio in ratios]
    axes.barh(
        entries,
        medians,
        xerr=(
            [ratio.median - ratio.low for ratio in ratios],
            [ratio.high - ratio.median for ratio in ratios],
        ),
        color=[OUR_COLOUR if OURS in entry else OTHERS for entry in entries],
        capsize=2,
    )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    better = "more" if figure.more else "less"
    cores = "one core" if findings.layout == "one" else "two cores"
    axes.set_title(
        f"{findings.case.title}, {cores}: {figure.unit}, {better} is better",
        fontsize="medium",
        loc="left",
    )
    for row, (entry, ratio) in enumerate(zip(entries, ratios, strict=True)):
        value = findings.summary(entry, figure).median
        axes.annotate(
            f"{ratio.median:.2f} ({value:,.4g})",
            (ratio.high, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )


def plot(found: Sequence[Findings], file: Path) -> None:
    """
    Draw the ratios to the yardsticks, with their ranges and the medians themselves.

    @raise ValueError: there are none, or the file's name is that of no format.
    """
    drawn = panels(found)
    if not drawn:
        raise ValueError("there is nothing to draw: no case has a yardstick")
    heights = [_MARGIN + _BAR * len(findings.rounds) for findings, _ in drawn]
    drawing = Drawing(figsize=(_WIDTH, sum(heights)), layout="constrained")
    grid = drawing.subplots(
        len(drawn), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for (findings, figure), axes in zip(drawn, grid[:, 0], strict=True):
        _draw(axes, findings, figure)
    drawing.savefig(file)
