"""The summary: what a correction gains in accuracy, and what it costs to get as far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agc.results.plotting import add_legend

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.17
# Space between two groups of corrections, in rows.
GAP = 0.6
MARGIN = 1.25
GROUP = ["objective", "method", "sparsity", "recipe"]
MARKERS = {"epochs": "o", "units": "s"}


def draw_summary(rows: pd.DataFrame, title: str, styles: dict[str, dict[str, str]]) -> Figure:
    """Two panels with a line for each row of the comparison, grouped by what was corrected.

    Left: paired difference of final test accuracy with its 95 % interval; an arrow where it is
    cut off, an open marker where one seed gives none. Right: change in epochs
    and in units to the plain run's best validation accuracy; a row that does not reach it says so.

    Args:
        rows: rows of the main table that have both arms.
        title: what the rows have in common.
        styles: colour of each correction.
    """
    from matplotlib.figure import Figure

    places, centres, names = _places(rows)
    height = ROW_HEIGHT * (places[-1] + 1) + MARGIN
    figure = Figure(figsize=(7.2, max(height, 2.2)), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    left, right = figure.subplots(1, 2, sharey=True)
    reach = _reach(rows)
    left.set_xlim(-reach, reach)
    for place, row in zip(places, rows.itertuples(), strict=True):
        colour = styles[row.correction]["color"]
        _draw_difference(left, place, row, colour, reach)
        _draw_change(right, place, row, colour)
    left.set_yticks(centres, names)
    left.set_ylim(places[-1] + 0.8, -0.8)
    _separate(rows, places, (left, right))
    for axis in (left, right):
        axis.axvline(0, color="#333333", linewidth=0.8)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
    left.set_xlabel("final test accuracy, correction − none,\npoints, paired, 95 % t interval")
    right.set_xlabel("change to reach none's best\nvalidation accuracy, %")
    right.margins(x=0.08)
    _annotate(figure, rows, title, styles)
    return figure


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
        axis.text(0, place, " all diverged", va="center", fontsize=6.5, color=colour)
        return
    axis.plot([low, high], [place, place], color=colour, linewidth=1.4)
    if low < -reach:
        axis.plot(-reach, place, "<", color=colour, markersize=5, clip_on=False)
    if high > reach:
        axis.plot(reach, place, ">", color=colour, markersize=5, clip_on=False)
    # An open marker: one seed, so no interval.
    face = "white" if np.isnan(low) else colour
    axis.plot(mean, place, "o", color=colour, markerfacecolor=face, markersize=4)


def _draw_change(axis: Axes, place: float, row: Any, colour: str) -> None:
    if row.accuracy_crossing != "reached":
        text = " not reached" if row.accuracy_crossing else " no pair"
        axis.text(0, place, text, va="center", fontsize=6.5, color=colour)
        return
    changes = {key: getattr(row, f"{key}_to_accuracy_change_percent") for key in MARKERS}
    axis.plot(list(changes.values()), [place, place], color=colour, linewidth=0.6, alpha=0.6)
    for key, marker in MARKERS.items():
        face = "white" if key == "epochs" else colour
        axis.plot(changes[key], place, marker, color=colour, markerfacecolor=face, markersize=4)


def _separate(rows: pd.DataFrame, places: list[float], axes: tuple[Axes, ...]) -> None:
    """Draw a thin line between one objective and the next."""
    objectives = list(rows["objective"])
    for index in range(1, len(objectives)):
        if objectives[index] != objectives[index - 1]:
            for axis in axes:
                middle = (places[index] + places[index - 1]) / 2
                axis.axhline(middle, color="#bbbbbb", linewidth=0.6)


def _places(rows: pd.DataFrame) -> tuple[list[float], list[float], list[str]]:
    """Height of each row, and the middle and the name of each group of corrections."""
    several = rows["objective"].nunique() > 1
    places: list[float] = []
    centres, names = [], []
    start = 0.0
    for (objective, method, sparsity, recipe), group in rows.groupby(GROUP, sort=False):
        places += [start + index for index in range(len(group))]
        centres.append(start + (len(group) - 1) / 2)
        start = places[-1] + 1 + GAP
        name = f"{method} {100 * sparsity:g} %" if sparsity else method
        name = f"{objective}: {name}" if several else name
        names.append(f"{name}, {recipe}" if recipe else name)
    return places, centres, names


def _annotate(
    figure: Figure, rows: pd.DataFrame, title: str, styles: dict[str, dict[str, str]]
) -> None:
    from matplotlib.lines import Line2D

    shown = [name for name in styles if name in set(rows["correction"])]
    handles = [Line2D([], [], color=styles[name]["color"]) for name in shown]
    for key, marker in MARKERS.items():
        face = "white" if key == "epochs" else "#333333"
        handles.append(
            Line2D([], [], color="#333333", marker=marker, markerfacecolor=face, linestyle="none")
        )
    labels = [*shown, *(f"change in {key}" for key in MARKERS)]
    add_legend(figure, handles, labels, title)
