"""The summary: a forest of each row's effect on accuracy, with a diamond for all rows together."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from agc.reports.arms import is_placebo
from agc.reports.figures.style import EDGE, Look, add_legend, text_width
from agc.reports.figures.summary_layout import Line, height, lines
from agc.reports.tables.formatting import number, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.17
# Around the rows, of the panel, and between a column of text and what is left of it, in inches.
MARGIN, PANEL_WIDTH, COLUMN_GAP = 1.1, 3.4, 0.18
# Half a diamond's height, in rows.
DIAMOND = 0.36
INK = "#222222"
SMALL = {"fontsize": 7}
COLUMNS = ("mean [95 %]", "units per epoch,\nor verdict")
"""Headings of the text beside the panel."""
DETECTABLE = {"marker": "|", "color": INK, "markersize": 5, "markeredgewidth": 0.7}
HEADROOM = {"marker": "|", "color": INK, "markersize": 9, "markeredgewidth": 2.2}
# At the axis' end, for what lies beyond it.
BEYOND = {"linestyle": "none", "markersize": 5, "clip_on": False}
OUTSIDE = {"marker": 9, "markersize": 5, "markeredgewidth": 1.2, "markerfacecolor": "white"}
SHARE_INSIDE = 0.85
"""Of the ends of rows' intervals, which the axis reaches; wider ones are cut off."""


def draw_summary(rows: pd.DataFrame, title: str, styles: dict[str, Look]) -> Figure:
    """A forest plot with a line for each row, grouped by what was corrected.

    A row has its mean and 95 % interval, with an arrow where that is cut off and an open marker
    where there is none, its headroom, and the smallest effect that it could have shown. All rows
    of an objective and correction together are a diamond, as wide as its 95 % interval. The band
    is the margin. The figure is as wide as its labels need.

    Args:
        rows: as of :func:`agc.reports.figures.forest_rows.forest_rows`, of one page.
        title: what the rows have in common.
        styles: colour of each correction.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    places = lines(rows)
    figure = Figure(layout="constrained")
    labels = _widest(figure, [(line.label, _font(line)) for line in places])
    columns = [_widest(figure, _texts(places, column)) for column in range(len(COLUMNS))]
    wide = PANEL_WIDTH + labels + sum(columns) + COLUMN_GAP * len(columns) + 2 * EDGE
    tall = ROW_HEIGHT * (height(rows) + 1) + MARGIN
    figure.set_size_inches(wide, max(tall, 1.8))
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axis = figure.subplots()
    wide = reach(rows)
    axis.set_xlim(-wide, wide)
    axis.set_ylim(height(rows) - 0.2, -0.8)
    _draw_margin(axis, rows)
    for line in places:
        if line.row is not None:
            _draw_line(axis, line.place, line.row, styles[line.row.correction]["color"], wide)
    _write_columns(axis, places, columns)
    axis.set_yticks([line.place for line in places], [line.label for line in places])
    for text, line in zip(axis.get_yticklabels(), places, strict=True):
        text.set(**_font(line))
    _separate(places, axis)
    axis.axvline(0, color="#333333", linewidth=0.8, zorder=1)
    axis.grid(axis="y", visible=False)
    # Arrows stand on the axis: the labels keep clear of them.
    axis.tick_params(axis="y", length=0, pad=7)
    # A fixed number of ticks: one that came with the last change of size would be cut off.
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_xlabel(
        "final test accuracy, correction − none, points, paired by seed\n"
        "intervals of rows have the spread that rows of a sparsity share"
    )
    _annotate(figure, rows, title, styles)
    return figure


def _font(line: Line) -> dict[str, str]:
    return {"fontweight": "bold" if line.row is None or line.row.pooled else "normal"}


def reach(rows: pd.DataFrame) -> float:
    """Half the width of the panel, in points: all means, the diamonds, the margin, most intervals.

    Where a few rows have intervals ten times as wide as the others, those are cut off, so that the
    others can be read.
    """
    singles, together = rows[~rows["pooled"]], rows[rows["pooled"]]
    ends = singles[["low", "high"]].abs().max(axis=1).dropna()
    usual = float(ends.quantile(SHARE_INSIDE, interpolation="higher")) if len(ends) else 0.0
    whole = together[["low", "high", "mean", "margin"]].abs().max(axis=None)
    return 1.08 * float(np.nanmax([usual, whole, singles["mean"].abs().max(), 0.0])) or 1.0


def _draw_margin(axis: Axes, rows: pd.DataFrame) -> None:
    margin = rows["margin"].max()
    if margin > 0:
        axis.axvspan(-margin, margin, facecolor="#ececec", edgecolor="none", zorder=0)
        for end in (-margin, margin):
            axis.axvline(end, color="#777777", linewidth=0.7, linestyle="--", zorder=0.9)


def _draw_line(axis: Axes, place: float, row: Any, colour: str, wide: float) -> None:
    if row.note:
        axis.text(0, place, f" {row.note}", va="center", color=colour, **SMALL)
        return
    for end in (-row.detectable, row.detectable):
        axis.plot(end, place, **DETECTABLE, linestyle="none")
    if row.headroom > wide:
        # Behind the arrow of an interval that is cut off as well.
        axis.plot(1.03 * wide, place, **HEADROOM | BEYOND | OUTSIDE)
    else:
        axis.plot(row.headroom, place, **HEADROOM, linestyle="none")
    if row.pooled and not np.isnan(row.low):
        across, up = [row.low, row.mean, row.high, row.mean], DIAMOND
        hatch = "/////" if is_placebo(row.correction) else None
        axis.fill(
            across,
            [place, place - up, place, place + up],
            facecolor="white" if hatch else colour,
            edgecolor=colour if hatch else INK,
            linewidth=0.8,
            hatch=hatch,
            zorder=3,
        )
        return
    axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.4)
    for end, beyond, arrow in ((-wide, row.low < -wide, "<"), (wide, row.high > wide, ">")):
        if beyond:
            axis.plot(end, place, arrow, color=colour, **BEYOND)
    # An open marker: no interval.
    face = "white" if np.isnan(row.low) else colour
    axis.plot(row.mean, place, _marker(row), color=colour, markerfacecolor=face, markersize=4)


def _marker(row: Any) -> str:
    return "D" if row.pooled else "s" if is_placebo(row.correction) else "o"


def _cell(row: Any, column: int) -> str:
    """The text of a line in one of the columns beside the panel."""
    if column == 0:
        ends = f" [{points(row.low)}, {points(row.high)}]" if row.low == row.low else ""
        return points(row.mean) + ends
    return row.verdict if row.pooled else f"{number(row.units)} (none {number(row.plain_units)})"


def _texts(places: list[Line], column: int) -> list[tuple[str, dict[str, Any]]]:
    """What stands in a column, with its font."""
    rows = [line.row for line in places if line.row is not None]
    texts = [(_cell(row, column), _bold(row.pooled)) for row in rows]
    return [*texts, (COLUMNS[column], _bold(True))]


def _widest(figure: Figure, texts: list[tuple[str, dict[str, Any]]]) -> float:
    """Width of the widest text in inches; to measure one text of many lines is fast."""
    lines: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for text, font in texts:
        lines.setdefault(tuple(font.items()), []).append(text)
    return max(text_width(figure, "\n".join(own), **dict(font)) for font, own in lines.items())


def _bold(bold: bool) -> dict[str, Any]:
    return SMALL | {"fontweight": "bold" if bold else "normal"}


def _write_columns(axis: Axes, places: list[Line], widths: list[float]) -> None:
    """Write the columns of text to the right of the panel, aligned with its lines."""
    offset = 0.0
    for column, width in enumerate(widths):
        offset += COLUMN_GAP
        where: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
        axis.annotate(
            COLUMNS[column],
            (1, 1),
            (72 * offset, 2),
            xycoords="axes fraction",
            va="bottom",
            **where,
            **_bold(True),
        )
        for line in places:
            if line.row is not None:
                axis.annotate(
                    _cell(line.row, column),
                    (1, line.place),
                    (72 * offset, 0),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    **where,
                    **_bold(line.row.pooled),
                )
        offset += width


def _separate(places: list[Line], axis: Axes) -> None:
    """Draw a thin line between one objective and the next."""
    for above, below in pairwise(places):
        if above.objective != below.objective:
            middle = (above.place + below.place) / 2
            axis.axhline(middle, color="#999999", linewidth=0.6)


def _annotate(figure: Figure, rows: pd.DataFrame, title: str, styles: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    # Several corrections are named at their rows.
    names = sorted(set(rows["correction"]))
    own = f"{names[0]}: " if len(names) == 1 else ""
    colour = styles[names[0]]["color"] if len(names) == 1 else INK
    mark = {"color": colour, "markersize": 4}
    known: list[tuple[Artist, str]] = [
        (Line2D([], [], marker="o", **mark), f"{own}a row's mean, 95 % interval")
    ]
    if rows["pooled"].any():
        diamond = Line2D([], [], marker="D", linestyle="none", **mark | {"markersize": 6})
        known.append((diamond, "mean of all rows, 95 % interval"))
    margin = rows["margin"].max()
    if margin > 0:
        band = Patch(facecolor="#ececec", edgecolor="#777777", linestyle="--", linewidth=0.7)
        known.append((band, f"margin, ±{number(margin, 2)} points"))
    if any(map(is_placebo, names)):
        grey = styles[next(filter(is_placebo, names))]["color"]
        known.append(
            (
                Line2D([], [], marker="s", color=grey, markersize=4),
                "placebo: what nothing looks like",
            )
        )
    known += [
        (Line2D([], [], linestyle="none", **DETECTABLE), "± smallest detectable effect"),
        (Line2D([], [], linestyle="none", **HEADROOM), "headroom: 100 − none's mean"),
        (Line2D([], [], linestyle="none", **HEADROOM | OUTSIDE), "headroom beyond the axis"),
        (Line2D([], [], marker=">", linestyle="none", **mark), "interval beyond the axis"),
    ]
    handles, labels = zip(*known, strict=True)
    add_legend(figure, handles, list(labels), title)
