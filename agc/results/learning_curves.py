"""Learning curves: a panel for each method and sparsity, a colour for each correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agc.results.acceleration import stack_counted
from agc.results.compare import PLAIN
from agc.results.curves import Curve
from agc.results.plotting import add_legend
from agc.results.statistics import running_best

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
WIDTH, HEIGHT, MARGINS = 2.3, 1.6, 1.2
MEASURES = {
    "accuracy": ("validation_accuracy", "validation accuracy, %", 100),
    "loss": ("train_loss", "training loss", 1),
}
AGAINST = {"epochs": "epoch", "units": "units (forward passes over the training set)"}


def draw_learning_curves(
    cells: pd.DataFrame,
    curves: dict[str, Curve],
    measure: str,
    against: str,
    styles: dict[str, dict[str, str]],
) -> Figure:
    """Small multiples of one data set, architecture, objective and recipe.

    Strong lines are running bests averaged over finished seeds, bands reach from the lowest to
    the highest seed, faint lines are the raw averages.

    Args:
        cells: their records.
        curves: the finished runs, by slug.
        measure: "accuracy" (validation) or "loss" (training, on a logarithmic axis).
        against: "epochs" or "units".
        styles: colour and line of each correction.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    layout = panels(cells)
    rows, columns = len(layout), max(map(len, layout))
    # A caption line needs this much room, however few the panels.
    size = (max(WIDTH * columns, 5.2) + 0.5, HEIGHT * rows + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for row, panel_row in enumerate(layout):
        for column in range(columns):
            if column >= len(panel_row):
                axes[row, column].set_axis_off()
                continue
            method, sparsity = panel_row[column]
            panel = cells[(cells["method"] == method) & (cells["sparsity"] == sparsity)]
            axis = axes[row, column]
            _draw_panel(axis, panel, curves, measure, against, styles)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.set_title(method if sparsity == 0 else f"{method}, {100 * sparsity:g} %")
    # A panel without one below it shows its own ticks.
    for row, column in np.ndindex(rows, columns):
        below = row + 1 < rows and column < len(layout[row + 1])
        axes[row, column].tick_params(labelbottom=not below)
    _annotate(figure, cells, measure, against, styles)
    return figure


def panels(cells: pd.DataFrame) -> list[list[tuple[str, float]]]:
    """Rows of (method, sparsity): a row for each method, those with one sparsity share rows."""
    found = sorted({(cell.method, cell.sparsity) for cell in cells.itertuples()})
    methods: dict[str, list[tuple[str, float]]] = {}
    for method, sparsity in found:
        methods.setdefault(method, []).append((method, sparsity))
    single = [row[0] for row in methods.values() if len(row) == 1]
    several = [row for row in methods.values() if len(row) > 1]
    width = min(MOST_COLUMNS, max((len(row) for row in several), default=len(single)))
    rows = [single] if single else []
    return [row[i : i + width] for row in rows + several for i in range(0, len(row), width)]


def _draw_panel(
    axis: Axes,
    cells: pd.DataFrame,
    curves: dict[str, Curve],
    measure: str,
    against: str,
    styles: dict[str, dict[str, str]],
) -> None:
    failures, floors = [], []
    for correction in sorted(set(cells["correction"]), key=lambda name: (name != PLAIN, name)):
        arm = cells[cells["correction"] == correction]
        diverged = int((arm["status"] == "diverged").sum())
        if diverged:
            failures.append(f"{correction}: {diverged} of {len(arm)} diverged")
        runs = [curves[slug] for slug in arm.loc[arm["status"] == "finished", "slug"]]
        if runs:
            floors.append(_draw_arm(axis, runs, measure, against, styles[correction]))
    if measure == "loss":
        _logarithmic(axis)
    elif floors:
        # The first steep epochs would flatten all that follows.
        axis.set_ylim(bottom=min(floors))
    if failures:
        y, side = (0.04, "bottom") if measure == "accuracy" else (0.96, "top")
        where = {"ha": "right", "va": side, "transform": axis.transAxes}
        axis.text(0.98, y, "\n".join(failures), fontsize=6.5, **where)


def _draw_arm(
    axis: Axes, runs: list[Curve], measure: str, against: str, look: dict[str, str]
) -> float:
    """Draw one correction's runs; return the value after a tenth of its epochs."""
    field, _, scale = MEASURES[measure]
    raw = scale * np.stack([getattr(run, field) for run in runs]).mean(axis=0)
    best = scale * running_best(stack_counted(runs, field), measure == "accuracy")
    x = np.arange(1, len(raw) + 1)
    if against == "units":
        x = np.stack([run.units for run in runs]).mean(axis=0)
    axis.plot(x, raw, **look, alpha=0.35, linewidth=0.7)
    axis.plot(x, best.mean(axis=0), **look)
    if len(runs) > 1:
        band = best.min(axis=0), best.max(axis=0)
        axis.fill_between(x, *band, color=look["color"], alpha=0.15, linewidth=0)
    return float(raw[len(raw) // 10])


def _logarithmic(axis: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _annotate(
    figure: Figure,
    cells: pd.DataFrame,
    measure: str,
    against: str,
    styles: dict[str, dict[str, str]],
) -> None:
    from matplotlib.lines import Line2D

    shown = [name for name in styles if name in set(cells["correction"])]
    handles = [Line2D([], [], **styles[name]) for name in shown]
    first = cells.iloc[0]
    names = [first[key] for key in ("dataset", "architecture", "objective", "recipe")]
    figure.supylabel(MEASURES[measure][1], fontsize=8)
    figure.supxlabel(
        f"{AGAINST[against]}\nstrong: running best at the target sparsity, mean over seeds;"
        "\nband: lowest to highest seed; faint: each epoch",
        fontsize=7.5,
    )
    add_legend(figure, handles, shown, ", ".join(name for name in names if name))
