"""Sensitivity to the learning rate: final test accuracy of each arm, a panel for each."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from agc.reports.arms import PLAIN
from agc.reports.figures.style import EDGE, LINES, MARKERS, Look, add_legend, fit
from agc.reports.labels import task_columns
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS, MOST_ROWS = 5, 4
WIDTH, HEIGHT, MARGINS = 1.7, 1.6, 0.9
MARKER_SIZE = 4
APART = 1.07
"""Factor between neighbouring lines: bars at one rate would hide each other."""
RATE = re.compile(r"(?:^|, )optimizer\.lr=([^,]+)")
CAPTION = "learning rate\nbars: 95 % t interval over seeds; grey: the same rows of none"


def draw_learning_rates(records: pd.DataFrame, styles: dict[str, Look]) -> list[Figure]:
    """Pages of a panel for each correction, and in it a line for each method × sparsity.

    Of runs that differ in their epochs those count that most arms have, so that all are compared
    at equal epochs. Rows at one learning rate are left out.

    Args:
        records: a row for each cell, as collected.
        styles: colour of each correction.

    Returns:
        A figure or more for each task and family but for the rate; none where a grid has one rate.
    """
    rates = records["family"].str.extract(RATE, expand=False).astype(float)
    cells = records.assign(rate=rates, family=records["family"].str.replace(RATE, "", regex=True))
    cells = cells[cells["rate"].notna() & (cells["status"] == "finished")]
    figures = []
    for key, group in cells.groupby([*task_columns(records.columns), "family"], sort=True):
        arms = group.groupby("epochs")["correction"].nunique()
        # Of several with as many arms, the fewest epochs.
        group = group[group["epochs"] == arms.idxmax()] if len(arms) else group
        several = group.groupby(["method", "sparsity", "correction"])["rate"].transform("nunique")
        group = group[several > 1]
        names = sorted(set(group["correction"]), key=lambda name: (name != PLAIN, name))
        page = MOST_COLUMNS * MOST_ROWS
        title = ", ".join(part for part in key if part)
        figures += [
            _draw(group, names[start : start + page], title, styles)
            for start in range(0, len(names), page)
        ]
    return figures


def _draw(cells: pd.DataFrame, names: list[str], title: str, styles: dict[str, Look]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    lines = math.ceil(len(names) / MOST_COLUMNS)
    columns = math.ceil(len(names) / lines)
    # The caption needs this much room, however few the panels.
    size = (max(WIDTH * columns, 4.2) + 0.5, HEIGHT * lines + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flatten()
    rows = sorted({(cell.method, cell.sparsity) for cell in cells.itertuples()})
    looks = {
        row: {"linestyle": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)]}
        for i, row in enumerate(rows)
    }
    for index, axis in enumerate(axes):
        if index >= len(names):
            axis.set_axis_off()
            continue
        for place, (row, look) in enumerate(looks.items()):
            aside = APART ** (place - (len(looks) - 1) / 2)
            here = cells[(cells["method"] == row[0]) & (cells["sparsity"] == row[1])]
            if names[index] != PLAIN:
                _draw_row(axis, here[here["correction"] == PLAIN], look, "#aaaaaa", None)
            own = here[here["correction"] == names[index]]
            _draw_row(axis, own, look, styles[names[index]]["color"], aside)
        axis.set_title(fit(figure, names[index], size[0] / columns - 0.4))
        axis.tick_params(labelbottom=index + columns >= len(names))
    _ticks(axes[0], sorted(set(cells["rate"])))
    handles = [
        Line2D([], [], **look, color="#333333", markersize=MARKER_SIZE) for look in looks.values()
    ]
    labels = [
        f"{method}, {100 * sparsity:g} %" if sparsity else method for method, sparsity in looks
    ]
    epochs = cells["epochs"].iloc[0]
    figure.supylabel("final test accuracy, %", fontsize=8)
    figure.supxlabel(CAPTION, fontsize=7.5)
    add_legend(figure, handles, labels, f"{title}, {epochs} epochs")
    return figure


def _draw_row(axis: Axes, runs: pd.DataFrame, look: Look, colour: str, aside: float | None) -> None:
    if not len(runs):
        return
    groups = [(rate, own) for rate, own in runs.groupby("rate", sort=True)]
    found = [paired_difference(100 * own["final_test_accuracy"]) for _, own in groups]
    rates, means = [rate for rate, _ in groups], [one.mean for one in found]
    if aside is None:
        axis.plot(rates, means, color=colour, linestyle=look["linestyle"], linewidth=0.9)
        return
    half = [one.high - one.mean for one in found]
    axis.errorbar(
        np.multiply(rates, aside),
        means,
        half,
        **look,
        color=colour,
        markersize=MARKER_SIZE,
        elinewidth=0.9,
        capsize=2,
    )


def _ticks(axis: Axes, rates: list[float]) -> None:
    """A logarithmic axis with a tick at each rate; the others share it."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axis.set_xlim(rates[0] / 1.5, rates[-1] * 1.5)
