"""
Draws what was found: for each contestant a dot where its ratio to the yardstick is,
with the range of the rounds, on a logarithmic axis, since twice as fast is as far from
the yardstick as half as fast.

All drawings from a file with figures, one for each group of cases::

    python -m tests.benchmarks.plot FILE.json FOLDER
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.cases import Figure
from tests.benchmarks.contest import Findings
from tests.benchmarks.contestants import OURS, TWIST, YARDSTICK
from tests.benchmarks.report import load

# Who only measures does without it.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches.
_WIDTH = 9.0
_ROW = 0.2
_MARGIN = 1.0
_HEAD = 0.35
OUR_COLOUR = "#1f6fb4"
OTHERS = "#6b6b6b"
#: Text stays text: it is smaller so, and can be searched for.
FONTS = "DejaVu Sans, Verdana, sans-serif"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "twisted_mux",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
#: What the yardsticks' entries are.
BARE = {
    YARDSTICK: "bare Twisted on TCP",
    f"{YARDSTICK} x1": "one bare Twisted connection",
}
TIMES = "\N{MULTIPLICATION SIGN}"
CORES = {"one": "one core for both", "two": "one core each"}


@dataclass(frozen=True)
class Panels:
    """
    A figure of a case, on one layout or on both, side by side.
    """

    figure: Figure
    findings: Sequence[Findings]

    @property
    def entries(self) -> list[str]:
        """
        Those that are drawn, best first by what the first layout has; or in their
        own order, if each is measured by its own first.
        """
        first = self.findings[0]
        if first.case.idle:
            return [entry for entry in first.rounds if first.comparable(entry)]
        ratios = {
            entry: first.ratio(entry, self.figure).median
            for entry in first.rounds
            if first.comparable(entry)
        }
        return sorted(ratios, key=lambda it: ratios[it], reverse=self.figure.more)


def panels(found: Sequence[Findings]) -> list[Panels]:
    """
    What there is to draw: the figures that have a yardstick, and are not the same each
    time.
    """
    rows: dict[tuple[str, str], list[Findings]] = {}
    figures: dict[tuple[str, str], Figure] = {}
    for findings in found:
        measured = not findings.case.exact
        if measured and any(map(findings.comparable, findings.rounds)):
            for figure in findings.case.figures:
                what = (findings.case.name, figure.key)
                figures[what] = figure
                rows.setdefault(what, []).append(findings)
    return [Panels(figures[what], each) for what, each in rows.items()]


def _ours(entry: str) -> bool:
    return entry.startswith((OURS, TWIST))


def _draw(axes: Axes, row: Panels, findings: Findings) -> None:
    """
    One panel.
    """
    figure = row.figure
    labels = row.entries
    drawn = [
        (place, entry, findings.ratio(entry, figure))
        for place, entry in enumerate(labels)
        if entry in findings.rounds
    ]
    for ours, colour in ((False, OTHERS), (True, OUR_COLOUR)):
        those = [(place, ratio) for place, it, ratio in drawn if _ours(it) is ours]
        # All of them in one line, with gaps.
        xs = [x for _, ratio in those for x in (ratio.low, ratio.high, math.nan)]
        ys = [y for place, _ in those for y in (place, place, math.nan)]
        axes.plot(xs, ys, color=colour, linewidth=1.6)
        medians = [ratio.median for _, ratio in those]
        places = [place for place, _ in those]
        axes.plot(medians, places, "o", color=colour, markersize=4)
    for place, entry, ratio in drawn:
        value = findings.summary(entry, figure).median
        axes.annotate(
            f"{_whole(value)} ({_short(ratio.median)}{TIMES})",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            color=OUR_COLOUR if _ours(entry) else OTHERS,
            fontsize="small",
        )
    axes.axvline(1, color="black", linewidth=0.8, zorder=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    marks = [" (any core)" * (entry in findings.unpinned) for entry in labels]
    names = [entry + mark for entry, mark in zip(labels, marks, strict=True)]
    axes.set_yticks(range(len(labels)), names)
    for label in axes.get_yticklabels():
        if _ours(label.get_text()):
            label.set_color(OUR_COLOUR)
            label.set_fontweight("bold")
    axes.set_xscale("log")
    low, high = _reach(row)
    axes.set_xlim(low / 1.15, high * 1.15)
    _ticks(axes, low, high)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    ys = [y for place in range(len(labels)) for y in (place, place, math.nan)]
    xs = [low / 1.15, high * 1.15, math.nan] * len(labels)
    axes.plot(xs, ys, color="0.93", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    title = f"{CORES[findings.layout]}: {figure.unit}, and ratio"
    axes.set_title(title, fontsize="medium", loc="left", color="0.3")
    yardsticks = set(findings.yardsticks.values())
    by = BARE.get(yardsticks.pop(), "each one's first")
    better = "more" if figure.more else "less"
    axes.set_xlabel(f"ratio to {by}: {better} is better", fontsize="small", color="0.3")


def _reach(row: Panels) -> tuple[float, float]:
    """
    The smallest and the largest ratio in a row, the yardstick's own among them.
    """
    ratios = [
        findings.ratio(entry, row.figure)
        for findings in row.findings
        for entry in findings.rounds
        if findings.comparable(entry)
    ]
    lows, highs = [it.low for it in ratios], [it.high for it in ratios]
    return min(1, *lows), max(1, *highs)


def _ticks(axes: Axes, low: float, high: float) -> None:
    """
    As many as there is room for.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    decades = math.log10(high / low)
    parts: Sequence[float] = (1, 2, 5) if decades < 2 else (1,)
    if decades < 0.7:
        parts = (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8)
    axes.xaxis.set_major_locator(LogLocator(10, parts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """
    A ratio, or a tick.
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.3g}"


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _slim(text: str) -> str:
    """
    An SVG without what makes no difference: a third of it.
    """
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)

    # Where things are, not what is written there.
    def rounded(tag: re.Match[str]) -> str:
        return re.sub(r"\d+\.\d{2,}", lambda it: f"{float(it[0]):.1f}", tag[0])

    text = re.sub(r"<[^>]*>", rounded, text)
    # Groups with nothing but a name, which are all.
    text = re.sub(r'<g id="[^"]*"\s*/>', "", text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r' clip-path="[^"]*"', "", text)
    if "<g " not in text:
        text = re.sub(r"</?g>", "", text)
    # What all have is said once.
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    text = re.sub(r"; stroke-linecap: square", "", text)
    text = text.replace("<svg ", f'<svg font-family="{FONTS}" ', 1)
    styles = dict.fromkeys(re.findall(r' style="[^"]*"', text))
    rules = ""
    for number, style in enumerate(styles):
        text = text.replace(style, f' class="s{number}"')
        rules += f".s{number}{{{style[len(' style=') + 1 : -1]}}}\n"
    text = text.replace("</style>", f"\n{rules}</style>", 1)
    return re.sub(r"\s*\n\s*", "\n", text)


def plot(found: Sequence[Findings], file: Path) -> None:
    """
    Draw the ratios to the yardsticks, with their ranges and the medians themselves.

    @raise ValueError: there are none, or the file's name is that of no format.
    """
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    rows = panels(found)
    if not rows:
        raise ValueError("there is nothing to draw: no case has a yardstick")
    columns = max(len(row.findings) for row in rows)
    heights = [_MARGIN + _ROW * len(row.entries) for row in rows]
    with matplotlib.rc_context(STYLE):
        drawing = Drawing(
            figsize=(_WIDTH, sum(heights) + _HEAD * len(rows)), layout="constrained"
        )
        parts = drawing.subfigures(
            len(rows), 1, squeeze=False, height_ratios=heights, hspace=0.02
        )
        for row, part in zip(rows, parts[:, 0], strict=True):
            case = row.findings[0].case
            part.suptitle(case.title, x=0.01, ha="left", fontweight="bold")
            grid = part.subplots(1, columns, squeeze=False, sharey=True)[0]
            for axes, findings in zip(grid, row.findings, strict=False):
                _draw(axes, row, findings)
            for axes in grid[len(row.findings) :]:
                axes.set_axis_off()
        # No date in it: the same figures make the same file.
        metadata = {"Date": None} if file.suffix == ".svg" else None
        drawing.savefig(file, metadata=metadata)
    if file.suffix == ".svg":
        file.write_text(_slim(file.read_text()))


def plots(found: Sequence[Findings], folder: Path) -> list[Path]:
    """
    One file for each group of cases that has a yardstick.

    @return: those files.
    """
    files = []
    for group in dict.fromkeys(findings.case.group for findings in found):
        of = [findings for findings in found if findings.case.group == group]
        if panels(of):
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / f"{group}.svg")
            plot(of, files[-1])
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draws what was found.")
    parser.add_argument("file", type=Path, help="what --json has written")
    parser.add_argument("folder", type=Path, help="where the drawings go")
    options = parser.parse_args(arguments)
    _, found = load(options.file.read_text())
    for file in plots(found, options.folder):
        print(file)


if __name__ == "__main__":
    main()
