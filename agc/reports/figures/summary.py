"""The summary: what a correction changes in accuracy, and in epochs to get as far."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from agc.reports.acceleration import SHOWN
from agc.reports.figures.style import EDGE, Look, add_legend, text_width
from agc.reports.figures.summary_layout import Line, height, lines
from agc.reports.tables.formatting import incomplete

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.17
# Around the rows, and of a panel, in inches.
MARGIN, PANEL_WIDTH = 0.85, 2.7
ACCURACY, EPOCHS = "accuracy_difference", f"epochs_to_{SHOWN}_difference"


def draw_summary(rows: pd.DataFrame, title: str, styles: dict[str, Look]) -> Figure:
    """Two panels with a line for each row of the comparison, grouped by what was corrected.

    Left: paired difference of final test accuracy with its 95 % interval; an arrow where it is
    cut off, an open marker where there is none: one seed, or the same difference in all of them.
    Right: the same of the epochs to a share of plain's mean final validation accuracy; a run that
    never gets there counts with all of them. The figure is as wide as its labels need.

    Args:
        rows: rows of the main table that have both arms.
        title: what the rows have in common.
        styles: colour of each correction.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    places = lines(rows)
    figure = Figure(layout="constrained")
    labels = max(text_width(figure, line.label, **_font(line)) for line in places)
    tall = ROW_HEIGHT * (height(rows) + 1) + MARGIN
    figure.set_size_inches(2 * PANEL_WIDTH + labels + 2 * EDGE, max(tall, 1.8))
    figure.get_layout_engine().set(wspace=0.06, w_pad=EDGE / 2)
    left, right = figure.subplots(1, 2, sharey=True)
    reach, epochs = 100 * _reach(rows, ACCURACY), _reach(rows, EPOCHS)
    left.set_xlim(-reach, reach)
    right.set_xlim(-epochs, epochs)
    for line in places:
        if line.row is not None:
            colour = styles[line.row.correction]["color"]
            _draw_difference(left, line.place, line.row, colour, reach)
            _draw_epochs(right, line.place, line.row, colour, epochs)
    left.set_yticks([line.place for line in places], [line.label for line in places])
    for text, line in zip(left.get_yticklabels(), places, strict=True):
        text.set(**_font(line))
    left.set_ylim(height(rows) - 0.2, -0.8)
    _separate(places, (left, right))
    for axis in (left, right):
        axis.axvline(0, color="#333333", linewidth=0.8)
        axis.grid(axis="y", visible=False)
        # Arrows stand on the axis: the labels keep clear of them.
        axis.tick_params(axis="y", length=0, pad=7)
        # A fixed number of ticks: one that came with the last change of size would be cut off.
        axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    left.set_xlabel("final test accuracy, correction − none,\npoints, paired, 95 % t interval")
    right.set_xlabel(
        f"epochs to {SHOWN} % of none's mean final\nvalidation accuracy, correction − none"
    )
    _annotate(figure, rows, title, styles)
    return figure


def _font(line: Line) -> dict[str, str]:
    return {"fontweight": "bold" if line.row is None else "normal"}


def _reach(rows: pd.DataFrame, difference: str) -> float:
    """Half the width of a panel, in the unit of the difference.

    The interval of two seeds is often ten times as wide as that of three: such a one is cut off,
    so that the others can be read.
    """
    usual = rows[rows[f"{difference}_n"] > 2]
    ends = [usual[f"{difference}_low"], usual[f"{difference}_high"]]
    farthest = np.nanmax(np.abs([*np.concatenate(ends), *rows[f"{difference}_mean"], 0.0]))
    return 1.08 * float(farthest) or 1.0


def _draw_difference(axis: Axes, place: float, row: Any, colour: str, reach: float) -> None:
    if np.isnan(row.accuracy_difference_mean):
        text = " no pair" if incomplete(row) else " all diverged"
        axis.text(0, place, text, va="center", fontsize=6.5, color=colour)
        return
    names = ("mean", "low", "high")
    values = [100 * getattr(row, f"accuracy_difference_{name}") for name in names]
    _draw_interval(axis, place, values, colour, reach)


def _draw_epochs(axis: Axes, place: float, row: Any, colour: str, reach: float) -> None:
    values = [getattr(row, f"{EPOCHS}_{name}") for name in ("mean", "low", "high")]
    if not np.isnan(values[0]):
        _draw_interval(axis, place, values, colour, reach)


def _draw_interval(
    axis: Axes, place: float, values: list[float], colour: str, reach: float
) -> None:
    mean, low, high = values
    axis.plot([low, high], [place, place], color=colour, linewidth=1.4)
    if low < -reach:
        axis.plot(-reach, place, "<", color=colour, markersize=5, clip_on=False)
    if high > reach:
        axis.plot(reach, place, ">", color=colour, markersize=5, clip_on=False)
    # An open marker: no interval.
    face = "white" if np.isnan(low) else colour
    axis.plot(mean, place, "o", color=colour, markerfacecolor=face, markersize=4)


def _separate(places: list[Line], axes: tuple[Axes, ...]) -> None:
    """Draw a thin line between one objective and the next."""
    for above, below in pairwise(places):
        if above.objective != below.objective:
            for axis in axes:
                middle = (above.place + below.place) / 2
                axis.axhline(middle, color="#bbbbbb", linewidth=0.6)


def _annotate(figure: Figure, rows: pd.DataFrame, title: str, styles: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D

    # Several corrections are named at their rows.
    names = set(rows["correction"])
    shown = sorted(names) if len(names) == 1 else []
    handles = [Line2D([], [], color=styles[name]["color"]) for name in shown]
    handles.append(Line2D([], [], color="#333333", marker="o", markersize=4))
    add_legend(figure, handles, [*shown, "mean, 95 % t interval"], title)
