"""What a bit buys: final test accuracy against what a worker sends and gets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agc.reports.figures.style import COLOURS, EDGE, MARKERS, PLAIN_COLOUR, add_legend, fit
from agc.reports.labels import in_full, task_columns
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS = "communication"
FEWEST = 3
"""Amounts of traffic that make a panel."""
WIDTH, HEIGHT, MARGINS = 2.9, 2.6, 0.9
MOST_COLUMNS, MOST_ROWS = 3, 3
MARKER_SIZE = 5
APART = 1.09
"""Factor between entries with as many bits: their intervals would hide each other."""


def draw_bits(records: pd.DataFrame) -> list[Figure]:
    """Pages of a panel for each method × sparsity, and what else is not the communication.

    A point is the mean of an arm with its 95 % interval: its colour is the entry's, its marker that
    of the entry's options.

    Args:
        records: a row for each cell, as collected.

    Returns:
        None where no panel has three amounts of traffic or more.
    """
    if AXIS not in records or "bits_up" not in records:
        return []
    cells = records[records["bits_up"].notna() & (records["status"] == "finished")]
    labels = cells[in_full(AXIS)] if in_full(AXIS) in cells else cells[AXIS]
    parted = labels.str.partition("(")
    cells = cells.assign(
        label=labels,
        entry=parted[0],
        options=parted[2].str.removesuffix(")"),
        megabits=(cells["bits_up"] + cells["bits_down"]) / 1e6,
    )
    keys = [*(key for key in task_columns(records.columns) if key != AXIS)]
    keys += ["method", "sparsity", "correction", "recipe"]
    panels = [
        (key, group)
        for key, group in cells.groupby(keys, sort=True)
        if group.groupby("label")["megabits"].mean().nunique() >= FEWEST
    ]
    varying = [i for i in range(len(keys)) if len({key[i] for key, _ in panels}) > 1]
    shown = [(panel_title(keys, key, varying), group) for key, group in panels]
    page = MOST_COLUMNS * MOST_ROWS
    return [_draw(shown[start : start + page]) for start in range(0, len(shown), page)]


def panel_title(keys: list[str], key: tuple[Any, ...], varying: list[int]) -> str:
    """Of a panel's key, the parts that differ between panels, in words."""
    parts = {name: key[index] for index, name in enumerate(keys) if index in varying}
    if parts.get("sparsity"):
        parts["sparsity"] = f"{100 * parts['sparsity']:g} %"
    return ", ".join(str(part) for part in parts.values() if part)


def _draw(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(MOST_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (max(WIDTH * columns, 4.2) + 0.5, HEIGHT * lines + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    entries = sorted({name for _, group in panels for name in group["entry"]})
    options = sorted({text for _, group in panels for text in group["options"]})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(entries)}
    markers = {text: MARKERS[i % len(MARKERS)] for i, text in enumerate(options)}
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, group) in zip(axes, panels, strict=False):
        _draw_panel(axis, group, colours, markers)
        axis.set_title(fit(figure, title, size[0] / columns - 0.4))
    mark = {"linestyle": "", "markersize": MARKER_SIZE}
    handles = [Line2D([], [], marker="o", color=colours[name], **mark) for name in entries]
    handles += [Line2D([], [], marker=m, color=PLAIN_COLOUR, **mark) for m in markers.values()]
    figure.supylabel("final test accuracy, %", fontsize=8)
    figure.supxlabel("Mbit of a worker in the whole training, up and down", fontsize=8)
    add_legend(figure, handles, [*entries, *(text or "defaults" for text in options)], "Bits")
    return figure


def _draw_panel(
    axis: Axes, cells: pd.DataFrame, colours: dict[str, str], markers: dict[str, str]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    places = {name: place - (len(colours) - 1) / 2 for place, name in enumerate(colours)}
    for (entry, text), runs in cells.groupby(["entry", "options"], sort=True):
        found = paired_difference(100 * runs["final_test_accuracy"])
        axis.errorbar(
            [runs["megabits"].mean() * APART ** places[entry]],
            [found.mean],
            [found.high - found.mean],
            marker=markers[text],
            color=colours[entry],
            markersize=MARKER_SIZE,
            elinewidth=0.8,
            linestyle="",
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
