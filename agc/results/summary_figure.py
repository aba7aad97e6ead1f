"""The summary: what a correction gains in accuracy, and what it costs to get as far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.21
MARGIN = 1.25
MARKERS = {"epochs": "o", "units": "s"}


def draw_summary(rows: pd.DataFrame, title: str, styles: dict[str, dict[str, str]]) -> Figure:
    """Two panels with a line for each row of the comparison.

    Left: paired difference of final test accuracy with its 95 % interval. Right: change in epochs
    and in units to the plain run's best validation accuracy; a row that does not reach it says so.

    Args:
        rows: rows of the main table that have both arms.
        title: what the rows have in common.
        styles: colour of each correction.
    """
    from matplotlib.figure import Figure

    height = ROW_HEIGHT * len(rows) + MARGIN
    figure = Figure(figsize=(7.2, max(height, 2.2)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    several = rows["correction"].nunique() > 1
    for place, row in enumerate(rows.itertuples()):
        colour = styles[row.correction]["color"]
        _draw_difference(left, place, row, colour)
        _draw_change(right, place, row, colour)
    left.set_yticks(range(len(rows)), [_name(row, several) for row in rows.itertuples()])
    left.set_ylim(len(rows) - 0.4, -0.6)
    _separate(rows, (left, right))
    for axis in (left, right):
        axis.axvline(0, color="#333333", linewidth=0.8)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
    left.set_xlabel("final test accuracy, correction − none,\npoints, paired, 95 % t interval")
    right.set_xlabel("change to reach none's best\nvalidation accuracy, %")
    right.margins(x=0.08)
    _annotate(figure, rows, title, styles)
    return figure


def _draw_difference(axis: Axes, place: int, row: Any, colour: str) -> None:
    mean, low, high = (
        100 * getattr(row, f"accuracy_difference_{key}") for key in ("mean", "low", "high")
    )
    if np.isnan(mean):
        axis.text(0, place, " all diverged", va="center", fontsize=6.5, color=colour)
        return
    axis.plot([low, high], [place, place], color=colour, linewidth=1.4)
    # An open marker: one seed, so no interval.
    face = "white" if np.isnan(low) else colour
    axis.plot(mean, place, "o", color=colour, markerfacecolor=face, markersize=4)


def _draw_change(axis: Axes, place: int, row: Any, colour: str) -> None:
    if row.accuracy_crossing != "reached":
        text = " not reached" if row.accuracy_crossing else " nothing to compare"
        axis.text(0, place, text, va="center", fontsize=6.5, color=colour)
        return
    changes = {key: getattr(row, f"{key}_to_accuracy_change_percent") for key in MARKERS}
    axis.plot(list(changes.values()), [place, place], color=colour, linewidth=0.6, alpha=0.6)
    for key, marker in MARKERS.items():
        face = "white" if key == "epochs" else colour
        axis.plot(changes[key], place, marker, color=colour, markerfacecolor=face, markersize=4)


def _separate(rows: pd.DataFrame, axes: tuple[Axes, ...]) -> None:
    """A thin line between one objective and the next."""
    objectives = list(rows["objective"])
    for place in range(1, len(objectives)):
        if objectives[place] != objectives[place - 1]:
            for axis in axes:
                axis.axhline(place - 0.5, color="#bbbbbb", linewidth=0.6)


def _name(row: Any, several: bool) -> str:
    sparsity = f" {100 * row.sparsity:g} %" if row.sparsity else ""
    recipe = f", {row.recipe}" if row.recipe else ""
    correction = f", {row.correction}" if several else ""
    return f"{row.objective}: {row.method}{sparsity}{recipe}{correction}"


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
    figure.suptitle(title, fontsize=9, fontweight="bold")
    figure.legend(
        handles,
        [*shown, *(f"change in {key}" for key in MARKERS)],
        loc="outside upper center",
        ncols=min(5, len(handles)),
        frameon=False,
    )
