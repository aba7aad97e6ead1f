"""Points of the entries of an axis, in a panel for each method × sparsity and what else differs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agc.reports.entries import with_remark
from agc.reports.figures.style import COLOURS, EDGE, MARKERS, PLAIN_COLOUR, add_legend, fit
from agc.reports.labels import labels_of
from agc.reports.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 3
MARKER_SIZE = 5
FILLS = ("full", "none", "left", "bottom")

Panel = tuple[str, "pd.DataFrame"]
"""Its title, and its cells."""


@dataclass(frozen=True)
class Looks:
    """How points look.

    Attributes:
        colours: by entry.
        markers: by options, as arguments of matplotlib.
    """

    colours: dict[str, str]
    markers: dict[str, dict[str, Any]]


def finished_entries(records: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The finished cells, with ``label``, and its parts ``entry`` and ``options``."""
    cells = records[records["status"] == "finished"]
    parted = labels_of(cells, axis).str.partition("(")
    return cells.assign(
        label=labels_of(cells, axis), entry=parted[0], options=parted[2].str.removesuffix(")")
    )


def titled(
    cells: pd.DataFrame, keys: list[str], wanted: Callable[[pd.DataFrame], bool] = lambda _: True
) -> list[Panel]:
    """A panel for each group that is wanted; its title has the keys that differ between them."""
    groups = [(key, own) for key, own in cells.groupby(keys, sort=True) if wanted(own)]
    varying = [i for i in range(len(keys)) if len({key[i] for key, _ in groups}) > 1]
    return [(_title(keys, key, varying), own) for key, own in groups]


def _title(keys: list[str], key: tuple[Any, ...], varying: list[int]) -> str:
    parts = {name: key[index] for index, name in enumerate(keys) if index in varying}
    if parts.get("sparsity"):
        parts["sparsity"] = f"{100 * parts['sparsity']:g} %"
    return ", ".join(str(part) for part in parts.values() if part)


def draw_entries(
    panels: list[Panel],
    axis: str,
    draw: Callable[[Axes, pd.DataFrame, Looks], None],
    *,
    panel: tuple[float, float],
    least: float,
    sharey: bool,
    below: str,
    title: str,
) -> Figure:
    """Final test accuracy of the entries of an axis, against what they cost, on a log scale.

    Args:
        panels: from :func:`titled`, at least one.
        axis: its name.
        draw: the points of a panel.
        panel: width and height of one, in inches.
        least: width that legend and captions need, however few the panels.
        sharey: whether all panels have one accuracy axis.
        below: caption of the cost axis.
        title: of the figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(MOST_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (max(panel[0] * columns, least) + 0.5, panel[1] * lines + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=sharey).flatten()
    entries = sorted({name for _, cells in panels for name in cells["entry"]})
    options = sorted({text for _, cells in panels for text in cells["options"]})
    looks = Looks(
        {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(entries)},
        {text: _marker(place) for place, text in enumerate(options)},
    )
    for one in axes[len(panels) :]:
        one.set_axis_off()
    for one, (name, cells) in zip(axes, panels, strict=False):
        draw(one, cells, looks)
        _log_scale(one)
        one.set_title(fit(figure, name, size[0] / columns - 0.4))
    mark = {"linestyle": "", "markersize": MARKER_SIZE}
    handles = [Line2D([], [], marker="o", color=looks.colours[name], **mark) for name in entries]
    handles += [
        Line2D([], [], color=PLAIN_COLOUR, **marker, **mark) for marker in looks.markers.values()
    ]
    figure.supylabel("final test accuracy, %", fontsize=8)
    figure.supxlabel(below, fontsize=8)
    names = [*(with_remark(axis, name) for name in entries)]
    names += [*(text or "defaults" for text in options)]
    add_legend(figure, handles, names, title)
    return figure


def add_point(axis: Axes, runs: pd.DataFrame, place: float, looks: Looks) -> float:
    """The mean of an arm with its 95 % interval, at a place; returns the mean, in percent."""
    found = paired_difference(100 * runs["final_test_accuracy"])
    axis.errorbar(
        [place],
        [found.mean],
        [found.high - found.mean],
        **looks.markers[runs["options"].iloc[0]],
        color=looks.colours[runs["entry"].iloc[0]],
        markersize=MARKER_SIZE,
        elinewidth=0.8,
        linestyle="",
    )
    return found.mean


def _marker(place: int) -> dict[str, Any]:
    """Full ones first, then hollow ones, then halves."""
    round_, shape = divmod(place, len(MARKERS))
    return {"marker": MARKERS[shape], "fillstyle": FILLS[round_ % len(FILLS)]}


def _log_scale(axis: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
