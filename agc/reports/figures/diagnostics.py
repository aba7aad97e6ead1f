"""The figure of ``agc diagnose``: what is left of the variance, as the snapshot grows older."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.files import atomic_write_text
from agc.grids.cell import Cell
from agc.reports.figures.style import COLOURS, PLAIN_COLOUR, add_legend, save, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
WIDTH, HEIGHT, MARGINS = 1.9, 1.8, 0.85
HIGHEST = 2.0
"""Ratios above it are cut off: it is where two gradients of no correlation end at c = 1."""

WORTH = 1 / 3
"""A second gradient and a pass make SVRG's step three times as dear as a plain one."""

CURVES = {
    "ratio_used": ("the c in use", {"color": COLOURS[0], "linestyle": "-", "marker": "o"}),
    "ratio_one": ("c = 1 (SVRG)", {"color": COLOURS[1], "linestyle": "--", "marker": "s"}),
    "ratio_best": ("best c", {"color": COLOURS[2], "linestyle": "-", "marker": "^"}),
    "ratio_layer": ("best c by tensor", {"color": COLOURS[3], "linestyle": ":", "marker": "v"}),
}


def write_diagnostics(cell: Cell, rows: list[dict[str, Any]], out: Path) -> pd.DataFrame:
    """Write ``diagnostics.csv`` and its figure into a folder; returns the table."""
    import pandas as pd

    frame = pd.DataFrame([{"slug": cell.slug, **row} for row in rows])
    text = frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    atomic_write_text(out / "diagnostics.csv", text)
    write_diagnostic_figure(frame, diagnostics_title(cell), out)
    return frame


def diagnostics_title(cell: Cell) -> str:
    """The cell in words."""
    method = cell.method.name + (f" {100 * cell.sparsity:g} %" if cell.sparsity else "")
    axes = (cell.dataset, cell.architecture, cell.objective)
    names = [axis.name for axis in axes]
    return ", ".join([*names, method, cell.correction.name, f"seed {cell.seed}"])


def write_diagnostic_figure(rows: pd.DataFrame, title: str, out: Path) -> list[Path]:
    """Write ``diagnostics.png`` and ``diagnostics.svg`` into ``out``, and name them."""
    with style():
        return save(draw_diagnostics(rows, title), out, "diagnostics")


def draw_diagnostics(rows: pd.DataFrame, title: str) -> Figure:
    """A panel for each epoch: variance ratio over active weights against the share of the epoch.

    Args:
        rows: as of :func:`agc.evaluation.diagnostics.diagnose`.
        title: names the cell.
    """
    from matplotlib.figure import Figure

    epochs = sorted(set(rows["epoch"]))
    lines = math.ceil(len(epochs) / MOST_COLUMNS)
    columns = math.ceil(len(epochs) / lines)
    # The legend and the line of explanation need this much room, however few the panels.
    size = (max(WIDTH * columns, 5.6) + 0.5, HEIGHT * lines + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flatten()
    shown = [key for key in CURVES if rows[key].notna().any()]
    top = min(HIGHEST, max(1.0, rows[shown].max(axis=None)))
    for axis, epoch in zip(axes, epochs, strict=False):
        _draw_panel(axis, rows[rows["epoch"] == epoch], shown)
        axis.set_title(f"epoch {epoch}")
        axis.set_ylim(-0.03 * top, 1.08 * top)
    for index, axis in enumerate(axes):
        if index >= len(epochs):
            axis.set_axis_off()
        axis.tick_params(labelbottom=index + columns >= len(epochs))
    _annotate(figure, shown, title)
    return figure


def _draw_panel(axis: Axes, rows: pd.DataFrame, shown: list[str]) -> None:
    # Two percentages of a short epoch can be one step, measured once.
    steps = rows.drop_duplicates("step")
    place = 100 * steps["step"] / steps["steps"]
    for level in (1.0, WORTH):
        axis.axhline(level, color=PLAIN_COLOUR, linewidth=0.8, linestyle=(0, (4, 2)))
    for key in shown:
        look = CURVES[key][1]
        ratio = steps[key].astype(float)
        axis.plot(place, ratio, **look, markersize=3.5)
        for x, y in zip(place, ratio, strict=True):
            if y > HIGHEST:
                _point_beyond(axis, x, y, look["color"])
    _ticks(axis, list(place))


def _point_beyond(axis: Axes, x: float, value: float, colour: str) -> None:
    axis.annotate(
        f"{value:.1f}",
        (x, 1.07 * HIGHEST),
        xytext=(3, 0),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=6.5,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )


def _ticks(axis: Axes, places: list[float]) -> None:
    """A logarithmic axis, as things happen early, with ticks where something was measured."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(places, [f"{place:.0f}" for place in places])


def _annotate(figure: Figure, shown: list[str], title: str) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **CURVES[key][1], markersize=3.5) for key in shown]
    figure.supylabel("Var(g − c q) / Var(g)", fontsize=8)
    figure.supxlabel(
        "% of the epoch\nover active weights; dashed: 1, no gain, and 1/3, where SVRG would pay",
        fontsize=7.5,
    )
    add_legend(figure, handles, [CURVES[key][0] for key in shown], title)
