"""The summary: what a correction gains in accuracy, and what it costs to get as far."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

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
MARKERS = {"epochs": "o", "units": "s"}


def draw_summary(rows: pd.DataFrame, title: str, styles: dict[str, Look]) -> Figure:
    """Two panels with a line for each row of the comparison, grouped by what was corrected.

    Left: paired difference of final test accuracy with its 95 % interval; an arrow where it is
    cut off, an open marker where there is none: one seed, or the same difference in all of them.
    Right: change in epochs and in units to the plain run's best validation accuracy; a row that
    does not reach it says so. The figure is as wide as its labels need.

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
    reach = _reach(rows)
    left.set_xlim(-reach, reach)
    for line in places:
        if line.row is not None:
            colour = styles[line.row.correction]["color"]
            _draw_difference(left, line.place, line.row, colour, reach)
            _draw_change(right, line.place, line.row, colour)
    right.margins(x=0.08)
    _say_unreached(right, places, styles)
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
    right.set_xlabel("change to reach none's best\nvalidation accuracy, %")
    _annotate(figure, rows, title, styles)
    return figure


def _font(line: Line) -> dict[str, str]:
    return {"fontweight": "bold" if line.row is None else "normal"}


def _reach(rows: pd.DataFrame) -> float:
    """Half the width of the left panel, in points.

    The interval of two seeds is often ten times as wide as that of three: such a one is cut off,
    so that the others can be read.
    """
    usual = rows[rows["accuracy_difference_n"] > 2]
    ends = [usual["accuracy_difference_low"], usual["accuracy_difference_high"]]
    farthest = np.nanmax(np.abs([*np.concatenate(ends), *rows["accuracy_difference_mean"], 0.0]))
    return 1.08 * 100 * float(farthest) or 1.0


def _draw_difference(axis: Axes, place: float, row: Any, colour: str, reach: float) -> None:
    mean, low, high = (
        100 * getattr(row, f"accuracy_difference_{key}") for key in ("mean", "low", "high")
    )
    if np.isnan(mean):
        text = " no pair" if incomplete(row) else " all diverged"
        axis.text(0, place, text, va="center", fontsize=6.5, color=colour)
        return
    axis.plot([low, high], [place, place], color=colour, linewidth=1.4)
    if low < -reach:
        axis.plot(-reach, place, "<", color=colour, markersize=5, clip_on=False)
    if high > reach:
        axis.plot(reach, place, ">", color=colour, markersize=5, clip_on=False)
    # An open marker: no interval.
    face = "white" if np.isnan(low) else colour
    axis.plot(mean, place, "o", color=colour, markerfacecolor=face, markersize=4)


def _draw_change(axis: Axes, place: float, row: Any, colour: str) -> None:
    if row.accuracy_crossing != "reached":
        return
    changes = {key: getattr(row, f"{key}_to_accuracy_change_percent") for key in MARKERS}
    axis.plot(list(changes.values()), [place, place], color=colour, linewidth=0.6, alpha=0.6)
    for key, marker in MARKERS.items():
        face = "white" if key == "epochs" else colour
        axis.plot(changes[key], place, marker, color=colour, markerfacecolor=face, markersize=4)


def _say_unreached(axis: Axes, places: list[Line], styles: dict[str, Look]) -> None:
    """Say in their rows which have no change, on the side of 0 that has the room."""
    low, high = axis.get_xlim()
    side = "left" if high >= -low else "right"
    for line in places:
        if line.row is not None and line.row.accuracy_crossing != "reached":
            text = " not reached " if line.row.accuracy_crossing else " no pair "
            colour = styles[line.row.correction]["color"]
            axis.text(0, line.place, text, ha=side, va="center", fontsize=6.5, color=colour)


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
    for key, marker in MARKERS.items():
        face = "white" if key == "epochs" else "#333333"
        handles.append(
            Line2D([], [], color="#333333", marker=marker, markerfacecolor=face, linestyle="none")
        )
    labels = [*shown, *(f"change in {key}" for key in MARKERS)]
    add_legend(figure, handles, labels, title)
