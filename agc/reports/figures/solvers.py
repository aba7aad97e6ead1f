"""What a call of the cell buys: loss of attacked images against calls, by PGD and by JIIO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.figures.style import COLOURS, EDGE, MARKERS, PLAIN_COLOUR, add_legend, fit
from agc.reports.labels import task_columns
from agc.reports.solvers import REFERENCE, SOLVER, solver_runs
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, MARGINS = 2.5, 2.0, 0.9
MOST_ROWS = 4
MARKER_SIZE = 4
LOOKS = {
    name: {"color": COLOURS[place], "marker": MARKERS[place]}
    for place, name in enumerate(("pgd", "jiio"))
}
CAPTION = "mean over the cells of a seed, with the 95 % t interval over seeds"


def draw_solvers(records: pd.DataFrame) -> list[Figure]:
    """Pages of a panel for each task and recipe (down) and method × sparsity (across).

    A line is a solver, a point one of its budgets; dashed: the loss that the others are measured
    by. Networks of all corrections count together, as in the table.

    Args:
        records: a row for each cell, as collected.

    Returns:
        None where no cell has such measurements.
    """
    runs = solver_runs(records)
    if runs is None:
        return []
    task = [*task_columns(records.columns), "recipe"]
    varying = [key for key in task if runs[key].nunique() > 1] or ["objective"]
    rows = [(_row(key), cells) for key, cells in runs.groupby(varying, sort=True)]
    columns = sorted({*zip(runs["method"], runs["sparsity"], strict=True)})
    return [
        _draw(rows[start : start + MOST_ROWS], columns) for start in range(0, len(rows), MOST_ROWS)
    ]


def _row(key: tuple[Any, ...]) -> str:
    return ", ".join(str(part) for part in key if part)


def _draw(rows: list[tuple[str, pd.DataFrame]], columns: list[tuple[str, float]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    # The caption needs this much room, however few the panels.
    size = (max(WIDTH * len(columns), 4.2) + 0.5, HEIGHT * len(rows) + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True)
    for line, (task, cells) in zip(axes, rows, strict=True):
        for axis, (method, share) in zip(line, columns, strict=True):
            own = cells[(cells["method"] == method) & (cells["sparsity"] == share)]
            if own.empty:
                axis.set_axis_off()
                continue
            _draw_panel(axis, own)
            name = f"{method} {100 * share:g} %" if share else method
            axis.set_title(fit(figure, f"{task}\n{name}", size[0] / len(columns) - 0.4))
    handles = [Line2D([], [], **look, markersize=MARKER_SIZE) for look in LOOKS.values()]
    goal = "-".join(map(str, REFERENCE)).upper()
    handles.append(Line2D([], [], color=PLAIN_COLOUR, linestyle="--", linewidth=0.8))
    figure.supylabel("cross-entropy of attacked images", fontsize=8)
    figure.supxlabel(f"calls of the cell, an image; {CAPTION}", fontsize=7.5)
    labels = [*(name.upper() for name in LOOKS), f"loss of {goal}"]
    add_legend(figure, handles, labels, "Attacks by their cell calls")
    return figure


def _draw_panel(axis: Axes, cells: pd.DataFrame) -> None:
    goal = cells[(cells[SOLVER] == REFERENCE[0]) & (cells["steps"] == REFERENCE[1])]
    reached = goal.groupby("seed")["loss"].mean().mean()
    axis.axhline(reached, color=PLAIN_COLOUR, linestyle="--", linewidth=0.8)
    for solver, look in LOOKS.items():
        budgets = [group for _, group in cells[cells[SOLVER] == solver].groupby("steps")]
        losses = [paired_difference(own.groupby("seed")["loss"].mean()) for own in budgets]
        axis.errorbar(
            [own["cell_calls"].mean() for own in budgets],
            [loss.mean for loss in losses],
            [loss.high - loss.mean for loss in losses],
            **look,
            markersize=MARKER_SIZE,
            elinewidth=0.8,
        )
    axis.set_xscale("log")
