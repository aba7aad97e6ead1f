"""What fewer bits cost: final test accuracy against training FLOPs weighted with bits."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from agc.reports.entries import with_remark
from agc.reports.figures.bits import panel_title
from agc.reports.figures.style import COLOURS, EDGE, MARKERS, PLAIN_COLOUR, add_legend, fit
from agc.reports.labels import in_full, task_columns
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS = "quantization"
WIDTHS = re.compile(r"\b(?:bits|forward|backward)=(\d+)(?:, )?")
"""Options that are bit widths: numbers beside a point, and no part of its marker."""
WIDTH, HEIGHT, MARGINS = 3.1, 3.0, 0.9
MOST_COLUMNS = 3
MARKER_SIZE = 5


def draw_bit_flops(records: pd.DataFrame) -> list[Figure]:
    """A panel for each method × sparsity, and what else is not the quantization.

    A point is the mean of an arm with its 95 % interval: its colour is the entry's, its marker that
    of options that are no bit widths; those stand beside it. Whatever is not quantised counts in
    full, and a run without quantization has the FLOPs of float32.

    Args:
        records: a row for each cell, as collected.

    Returns:
        One figure, or none where no run is quantised.
    """
    if AXIS not in records or "bit_flops" not in records:
        return []
    cells = records[records["status"] == "finished"]
    labels = cells[in_full(AXIS)] if in_full(AXIS) in cells else cells[AXIS]
    parted = labels.str.partition("(")
    spent = cells["bit_flops"].fillna(cells["training_flops"])
    cells = cells.assign(
        label=labels,
        entry=parted[0],
        options=parted[2].str.removesuffix(")").map(_unwidened),
        share=spent / cells["dense_training_flops"],
    )
    keys = [*(key for key in task_columns(records.columns) if key != AXIS)]
    keys += ["method", "sparsity", "correction", "recipe"]
    groups = [
        (key, group)
        for key, group in cells.groupby(keys, sort=True)
        if group["label"].nunique() > 1 and group["bit_flops"].notna().any()
    ]
    varying = [i for i in range(len(keys)) if len({key[i] for key, _ in groups}) > 1]
    panels = [(panel_title(keys, key, varying), group) for key, group in groups]
    return [_draw(panels)] if panels else []


def _unwidened(options: str) -> str:
    return WIDTHS.sub("", options).removesuffix(", ")


def _draw(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(MOST_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (max(WIDTH * columns, 5.2) + 0.5, HEIGHT * lines + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    entries = sorted({name for _, group in panels for name in group["entry"]})
    options = sorted({text for _, group in panels for text in group["options"]})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(entries)}
    markers = {text: _marker(place) for place, text in enumerate(options)}
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, group) in zip(axes, panels, strict=False):
        _draw_panel(axis, group, colours, markers)
        axis.set_title(fit(figure, title, size[0] / columns - 0.4))
    mark = {"linestyle": "", "markersize": MARKER_SIZE}
    handles = [Line2D([], [], marker="o", color=colours[name], **mark) for name in entries]
    handles += [Line2D([], [], color=PLAIN_COLOUR, **look, **mark) for look in markers.values()]
    figure.supylabel("final test accuracy, %", fontsize=8)
    figure.supxlabel(
        "training FLOPs weighted with bits, as a share of dense float32; beside points: bits",
        fontsize=8,
    )
    names = [*(with_remark(AXIS, name) for name in entries)]
    names += [*(text or "defaults" for text in options)]
    add_legend(figure, handles, names, "Accuracy by bit-weighted FLOPs")
    return figure


def _marker(place: int) -> dict[str, Any]:
    """Hollow ones after the full ones."""
    hollow, shape = divmod(place, len(MARKERS))
    return {"marker": MARKERS[shape], "fillstyle": "none" if hollow % 2 else "full"}


def _draw_panel(
    axis: Axes, cells: pd.DataFrame, colours: dict[str, str], markers: dict[str, dict[str, Any]]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for label, runs in cells.groupby("label", sort=True):
        found = paired_difference(100 * runs["final_test_accuracy"])
        place = runs["share"].mean()
        axis.errorbar(
            [place],
            [found.mean],
            [found.high - found.mean],
            **markers[runs["options"].iloc[0]],
            color=colours[runs["entry"].iloc[0]],
            markersize=MARKER_SIZE,
            elinewidth=0.6,
            linestyle="",
        )
        widths = sorted(set(WIDTHS.findall(label)))
        text = "/".join(widths)
        axis.annotate(text, (place, found.mean), (3, 2), textcoords="offset points", fontsize=6)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
