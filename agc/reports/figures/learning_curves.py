"""Learning curves: a panel for each method and sparsity, a line for each correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agc.reports.acceleration import stack_counted
from agc.reports.arms import PLAIN
from agc.reports.curves import Curve
from agc.reports.figures.style import EDGE, Look, add_legend, fit
from agc.reports.labels import task_columns
from agc.reports.statistics import running_best

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layout = list[list[tuple[str, float]]]
# With more lines than this in a figure, bands would hide each other: panels are larger then, and
# show the means alone.
MOST_BANDS = 7
# Columns and rows of panels on a page, width and height of a panel in inches.
FEW_LINES = (4, 5, 2.3, 1.6)
MANY_LINES = (3, 3, 3.0, 2.4)
MARGINS = 0.75
TITLE_LINE = 0.14
# Tick labels and the gap to the next panel, in inches.
AXIS_LABELS = 0.4
MARKERS_PER_LINE = 5
MARKER_SIZE = 3.5
# As many lines of text are half of a small panel's height.
MOST_FAILURE_LINES = 6
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
    styles: dict[str, Look],
    layout: Layout | None = None,
) -> Figure:
    """Small multiples of one data set, architecture, objective and recipe.

    Strong lines are running bests averaged over finished seeds, bands reach from the lowest to
    the highest seed, faint lines are the raw averages. With more than seven lines, only the
    first of these are drawn.

    Args:
        cells: their records.
        curves: the finished runs, by slug.
        measure: "accuracy" (validation) or "loss" (training, on a logarithmic axis).
        against: "epochs" or "units".
        styles: colour, line and marker of each correction.
        layout: rows of panels to draw, one of :func:`pages`; all on one page if it is None.
    """
    from matplotlib.figure import Figure

    layout = layout or panels(cells)
    rows, columns = len(layout), max(map(len, layout))
    _, _, width, height = _page(cells)
    # A caption line needs this much room, however few the panels.
    figure = Figure(figsize=(max(width * columns, 5.2) + 0.5, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    title_lines = 0
    for row, column in np.ndindex(rows, columns):
        axis = axes[row, column]
        if column >= len(layout[row]):
            axis.set_axis_off()
            continue
        method, sparsity = layout[row][column]
        panel = cells[(cells["method"] == method) & (cells["sparsity"] == sparsity)]
        _draw_panel(axis, panel, curves, measure, against, styles, bands=not _crowded(cells))
        _name_failures(figure, axis, panel, measure, width - AXIS_LABELS)
        name = f"{method}, {100 * sparsity:g} %" if sparsity else method
        axis.set_title(fit(figure, name, width - AXIS_LABELS))
        title_lines = max(title_lines, axis.get_title().count("\n"))
        # A panel without one below it shows its own ticks.
        below = row + 1 < rows and column < len(layout[row + 1])
        axis.tick_params(labelbottom=not below)
    figure.set_figheight((height + TITLE_LINE * title_lines) * rows + MARGINS)
    _annotate(figure, cells, measure, against, styles)
    return figure


def pages(cells: pd.DataFrame) -> list[Layout]:
    """The rows of panels of each page: :func:`panels`, cut where a page is full."""
    layout = panels(cells)
    rows = _page(cells)[1]
    return [layout[start : start + rows] for start in range(0, len(layout), rows)]


def panels(cells: pd.DataFrame) -> Layout:
    """Rows of (method, sparsity): a row for each method, those with one sparsity share rows."""
    found = sorted({(cell.method, cell.sparsity) for cell in cells.itertuples()})
    methods: dict[str, list[tuple[str, float]]] = {}
    for method, sparsity in found:
        methods.setdefault(method, []).append((method, sparsity))
    single = [row[0] for row in methods.values() if len(row) == 1]
    several = [row for row in methods.values() if len(row) > 1]
    width = min(_page(cells)[0], max((len(row) for row in several), default=len(single)))
    rows = [single] if single else []
    return [row[i : i + width] for row in rows + several for i in range(0, len(row), width)]


def _crowded(cells: pd.DataFrame) -> bool:
    return cells["correction"].nunique() > MOST_BANDS


def _page(cells: pd.DataFrame) -> tuple[int, int, float, float]:
    return MANY_LINES if _crowded(cells) else FEW_LINES


def _draw_panel(
    axis: Axes,
    cells: pd.DataFrame,
    curves: dict[str, Curve],
    measure: str,
    against: str,
    styles: dict[str, Look],
    bands: bool,
) -> None:
    from matplotlib.ticker import MaxNLocator

    floors = []
    for index, correction in enumerate(_plain_first(cells)):
        arm = cells[cells["correction"] == correction]
        runs = [curves[slug] for slug in arm.loc[arm["status"] == "finished", "slug"]]
        if runs:
            # Lines that lie on each other would hide each other's markers.
            look = styles[correction] | {"markevery": _marked(runs, index)}
            floors.append(_draw_arm(axis, runs, measure, against, look, bands))
    # A fixed number of ticks: one that came with the last change of size would be cut off.
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if measure == "loss":
        _logarithmic(axis)
    elif floors:
        # The first steep epochs would flatten all that follows.
        axis.set_ylim(bottom=min(floors))


def _plain_first(cells: pd.DataFrame) -> list[str]:
    return sorted(set(cells["correction"]), key=lambda name: (name != PLAIN, name))


def _marked(runs: list[Curve], index: int) -> tuple[int, int]:
    """First epoch that gets a marker, and the step from one to the next."""
    step = max(1, len(runs[0].units) // MARKERS_PER_LINE)
    return index % step, step


def _name_failures(
    figure: Figure, axis: Axes, cells: pd.DataFrame, measure: str, room: float
) -> None:
    """Write into the panel how many runs gave no curve, of each correction if there is room."""
    font = {"fontsize": 6.5}
    failed = cells[cells["status"] != "finished"]
    if not len(failed):
        return
    lines = []
    for name in _plain_first(failed):
        total = (cells["correction"] == name).sum()
        counts = failed.loc[failed["correction"] == name, "status"].value_counts().sort_index()
        parts = [f"{count} of {total} {status}" for status, count in counts.items()]
        lines.append(f"{name}: {', '.join(parts)}")
    text = "\n".join(fit(figure, line, room, **font) for line in lines)
    if text.count("\n") >= MOST_FAILURE_LINES:
        arms = cells["correction"].nunique()
        word = "diverged" if (failed["status"] == "diverged").all() else "without a result"
        line = f"{len(failed)} of {len(cells)} runs {word}, in {len(lines)} of {arms} arms"
        text = fit(figure, line, room, **font)
    y, side = (0.04, "bottom") if measure == "accuracy" else (0.96, "top")
    axis.text(0.98, y, text, ha="right", va=side, transform=axis.transAxes, **font)


def _draw_arm(
    axis: Axes, runs: list[Curve], measure: str, against: str, look: Look, bands: bool
) -> float:
    """Draw one correction's runs; return the value after a tenth of its epochs."""
    field, _, scale = MEASURES[measure]
    raw = scale * np.stack([getattr(run, field) for run in runs]).mean(axis=0)
    best = scale * running_best(stack_counted(runs, field), measure == "accuracy")
    x = np.arange(1, len(raw) + 1)
    if against == "units":
        x = np.stack([run.units for run in runs]).mean(axis=0)
    if bands:
        axis.plot(x, raw, **look | {"marker": ""}, alpha=0.35, linewidth=0.7)
    axis.plot(x, best.mean(axis=0), **look, markersize=MARKER_SIZE)
    if bands and len(runs) > 1:
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
    figure: Figure, cells: pd.DataFrame, measure: str, against: str, styles: dict[str, Look]
) -> None:
    from matplotlib.lines import Line2D

    shown = [name for name in styles if name in set(cells["correction"])]
    handles = [Line2D([], [], **styles[name], markersize=MARKER_SIZE) for name in shown]
    first = cells.iloc[0]
    names = [first[key] for key in (*task_columns(cells.columns), "recipe")]
    caption = "running best at the target sparsity, mean over seeds"
    if not _crowded(cells):
        caption = f"strong: {caption};\nband: lowest to highest seed; faint: each epoch"
    figure.supylabel(MEASURES[measure][1], fontsize=8)
    figure.supxlabel(f"{AGAINST[against]}\n{caption}", fontsize=7.5)
    add_legend(figure, handles, shown, ", ".join(name for name in names if name))
