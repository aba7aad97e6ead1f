"""The budget ladder: final test error against epochs and against units, each with its schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agc.reports.arms import PLAIN
from agc.reports.budgets import LadderRow, ladder_rows
from agc.reports.figures.style import EDGE, Look, add_legend, fit
from agc.reports.labels import task_columns
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
WIDTH, HEIGHT, MARGINS = 2.3, 1.9, 0.9
MARKER_SIZE = 4
COSTS = {"epochs": "epochs", "units": "units (forward passes over the training set)"}
CAPTION = "every point is a training planned for its epochs; band: 95 % t interval over seeds"

Panel = list[LadderRow]
"""The corrections of one method × sparsity × family."""


def draw_ladders(records: pd.DataFrame, styles: dict[str, Look]) -> list[Figure]:
    """Pages of a panel for each row with several budgets, above it by epochs, below by units.

    Args:
        records: a row for each cell, as collected.
        styles: colour, line and marker of each correction.

    Returns:
        None where no row has several budgets in both arms.
    """
    task = task_columns(records.columns)
    pages: dict[str, list[Panel]] = {}
    for row in ladder_rows(records):
        panels = pages.setdefault(", ".join(row.labels[key] for key in task), [])
        if not panels or _name(panels[-1]) != _name([row]):
            panels.append([])
        panels[-1].append(row)
    return [
        _draw(panels[start : start + MOST_COLUMNS], title, styles)
        for title, panels in pages.items()
        for start in range(0, len(panels), MOST_COLUMNS)
    ]


def _draw(panels: list[Panel], title: str, styles: dict[str, Look]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    # The caption needs this much room, however few the panels.
    width = max(WIDTH * len(panels), 4.6) + 0.5
    figure = Figure(figsize=(width, 2 * HEIGHT + MARGINS), layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(2, len(panels), squeeze=False, sharex="row", sharey="col")
    for column, panel in enumerate(panels):
        arms = {PLAIN: panel[0].plain} | {row.labels["correction"]: row.corrected for row in panel}
        for axis, cost in zip(axes[:, column], COSTS, strict=True):
            for name, runs in arms.items():
                _draw_arm(axis, runs, cost, styles[name])
        axes[0, column].set_title(fit(figure, _name(panel), width / len(panels) - 0.5))
    for row, (cost, label) in zip(axes, COSTS.items(), strict=True):
        _ticks(row[0], panels, cost)
        for axis in row:
            axis.set_xlabel(label if len(panels) == 1 else label.partition(" (")[0])
    shown = [PLAIN, *sorted({row.labels["correction"] for panel in panels for row in panel})]
    handles = [Line2D([], [], **styles[name], markersize=MARKER_SIZE) for name in shown]
    figure.supylabel("final test error, %", fontsize=8)
    figure.supxlabel(CAPTION, fontsize=7.5)
    add_legend(figure, handles, shown, title)
    return figure


def _name(panel: Panel) -> str:
    labels = panel[0].labels
    name = f"{labels['method']}, {100 * labels['sparsity']:g} %" * bool(labels["sparsity"])
    return ", ".join(part for part in (name or labels["method"], labels["family"]) if part)


def _draw_arm(axis: Axes, runs: pd.DataFrame, cost: str, look: Look) -> None:
    groups = [group for _, group in runs.groupby("epochs", sort=True)]
    errors = [paired_difference(100 * (1 - own["final_test_accuracy"])) for own in groups]
    places = [own[cost].mean() for own in groups]
    axis.fill_between(
        places,
        [error.low for error in errors],
        [error.high for error in errors],
        color=look["color"],
        alpha=0.15,
        linewidth=0,
    )
    axis.plot(places, [error.mean for error in errors], **look, markersize=MARKER_SIZE)


def _ticks(axis: Axes, panels: list[Panel], cost: str) -> None:
    """A logarithmic axis with a tick at each budget of the plain runs; others share it."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    runs = panels[0][0].plain
    places = np.sort(runs.groupby("epochs")[cost].mean().to_numpy())
    axis.set_xticks(places, [f"{place:.0f}" for place in places])
