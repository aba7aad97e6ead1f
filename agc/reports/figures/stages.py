"""When stages of precision begin, and what the training loss looked like to their detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.figures.entries import Panel, titled
from agc.reports.figures.style import COLOURS, EDGE, LINES, add_legend, fit
from agc.reports.labels import panel_keys
from agc.reports.stages import AXIS, SEEN, stage_runs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOUR = {
    "train_loss": "training loss",
    "forward_bits": "forward bits",
    "scatter": "scatter / threshold",
    "fall": "fall / threshold",
}
"""Rows of panels: what is shown, and how its axis is called."""
FLOOR = 0.1
"""Below it, what is seen of the loss is far below the threshold, or negative."""
WIDTH, HEIGHT, MARGINS = 2.6, 1.35, 1.1


def draw_stages(records: pd.DataFrame, epochs: pd.DataFrame) -> list[Figure]:
    """A column for each method × sparsity of runs whose bits rise in stages, an arm each a line,
    the mean over its seeds.

    Scatter and fall are of the last five points of the loss, before the stage that an epoch begins
    with is decided on; a rule that asks for one of them goes on where it is at most 1.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.

    Returns:
        One figure, or none where no run has stages that the loss decides on.
    """
    runs = stage_runs(records, epochs)
    if not len(runs):
        return []
    for name in SEEN:
        runs[name] = runs[name].clip(lower=FLOOR)
    return [_draw(titled(runs, panel_keys(records.columns, AXIS)))]


def _draw(panels: list[Panel]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    size = (max(WIDTH * len(panels), 4.6) + 0.5, HEIGHT * len(FOUR) + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(len(FOUR), len(panels), squeeze=False, sharex="col", sharey="row")
    arms = sorted({label for _, group in panels for label in group["label"]})
    looks = {
        name: {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
        for i, name in enumerate(arms)
    }
    for column, (title, group) in enumerate(panels):
        for axis, measure in zip(axes[:, column], FOUR, strict=True):
            _draw_panel(axis, group, measure, looks)
        axes[0, column].set_title(fit(figure, title, size[0] / len(panels) - 0.4))
    for axis, label in zip(axes[:, 0], FOUR.values(), strict=True):
        axis.set_ylabel(label)
    figure.supxlabel("epoch; scatter and fall: of the loss before it", fontsize=8)
    handles = [Line2D([], [], **looks[name]) for name in arms]
    add_legend(figure, handles, arms, "Stages of precision, and the loss that decides on them")
    return figure


def _draw_panel(
    axis: Axes, runs: pd.DataFrame, measure: str, looks: dict[str, dict[str, Any]]
) -> None:
    for label, own in runs.groupby("label", sort=True):
        # Of seeds whose last stage has begun nothing is decided any more.
        means = own.groupby("epoch")[measure].mean().dropna()
        axis.plot(means.index, means, **looks[label])
    if measure in SEEN:
        axis.axhline(1.0, color="#555555", linewidth=0.8)
        axis.set_yscale("log")
