"""The A/A figure: what the pairs of a placebo look like, beside those of each correction."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import is_placebo
from agc.reports.figures.forest_rows import Pairs
from agc.reports.figures.style import Look, add_legend, fit
from agc.reports.rows import Spread, pooled_sd

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
WIDTH, HEIGHT, MARGINS = 1.9, 1.6, 0.85
FEWEST_BARS = 20
"""Pairs of which a histogram tells something; fewer are a dot each."""
BIN = 0.5
FARTHEST = 5.0
"""Differences beyond as many standard deviations are drawn at the edge."""
INK = "#222222"

Spreads = dict[float, Spread]


def calibrated(rows: list[Pairs]) -> bool:
    """Whether the rows of a task have a placebo whose pairs tell their spread."""
    return any(spread.sd > 0 for spread in spreads(rows).values())


def spreads(rows: list[Pairs]) -> Spreads:
    """Standard deviation within the placebo's rows of each sparsity, in points."""
    groups: dict[float, list[NDArray[np.float64]]] = {}
    for row in rows:
        if is_placebo(row.key["correction"]):
            groups.setdefault(row.key["sparsity"], []).append(row.differences)
    return {sparsity: pooled_sd(own) for sparsity, own in groups.items()}


def draw_calibration(rows: list[Pairs], title: str, styles: dict[str, Look]) -> Figure:
    """A panel for the placebo and one for each correction: all their paired differences.

    The unit of a difference is the standard deviation within the placebo's rows of its sparsity, so
    that rows of all sparsities are one sample. Over it is the t density that the placebo's pairs
    have if it has no effect, which is the same curve in all panels but for the number of pairs. A
    correction that differs from nothing lies beside the curve, or is wider.

    Args:
        rows: those of one task, with a placebo (see :func:`calibrated`).
        title: names the task.
        styles: colour of each correction.
    """
    from matplotlib.figure import Figure

    known = {sparsity: spread for sparsity, spread in spreads(rows).items() if spread.sd > 0}
    arms = {name: _standardized(rows, name, known) for name in _placebo_first(rows)}
    arms = {name: values for name, values in arms.items() if len(values)}
    lines = math.ceil(len(arms) / MOST_COLUMNS)
    columns = math.ceil(len(arms) / lines)
    # The legend and the line of explanation need this much room, however few the panels.
    size = (max(WIDTH * columns, 5.2) + 0.5, HEIGHT * lines + MARGINS)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True).flatten()
    for index, axis in enumerate(axes):
        if index >= len(arms):
            axis.set_axis_off()
        axis.tick_params(labelbottom=index + columns >= len(arms))
    farthest = max(np.abs(values).max() for values in arms.values())
    reach = BIN * math.ceil(min(max(farthest, 3.0), FARTHEST) / BIN)
    for axis, (name, values) in zip(axes, arms.items(), strict=False):
        _draw_panel(axis, values, name, styles[name]["color"], reach)
        _draw_density(axis, rows, name, known, reach)
        axis.set_title(f"{fit(figure, name, size[0] / columns - 0.5)}\n{len(values)} pairs")
    _annotate(figure, title, styles)
    return figure


def _placebo_first(rows: list[Pairs]) -> list[str]:
    return sorted(
        {row.key["correction"] for row in rows}, key=lambda name: (not is_placebo(name), name)
    )


def _standardized(rows: list[Pairs], name: str, known: Spreads) -> NDArray[np.float64]:
    """A correction's differences, where the placebo tells the spread of their sparsity."""
    own = [
        row.differences / known[row.key["sparsity"]].sd
        for row in rows
        if row.key["correction"] == name and row.key["sparsity"] in known
    ]
    return np.concatenate(own) if own else np.empty(0)


def _draw_panel(
    axis: Axes, values: NDArray[np.float64], name: str, colour: str, reach: float
) -> None:
    inside = np.clip(values, -reach, reach)
    if len(values) >= FEWEST_BARS:
        look: dict[str, Any] = {"facecolor": colour, "edgecolor": "white"}
        if is_placebo(name):
            look = {"facecolor": "white", "edgecolor": colour, "hatch": "/////"}
        bins = np.arange(-reach, reach + BIN / 2, BIN)
        axis.hist(inside, bins=bins, linewidth=0.6, **look)
        axis.set_ylabel("pairs", fontsize=7.5)
    else:
        # Dots of the same place stand on each other, up to the density's height.
        seen: Counter[float] = Counter()
        for value in sorted(inside):
            place = round(value / BIN) * BIN
            seen[place] += 1
            face = "white" if is_placebo(name) else colour
            axis.plot(
                value, seen[place] - 0.5, "o", color=colour, markerfacecolor=face, markersize=4
            )
        axis.set_ylim(0, max(3.0, *seen.values()) + 0.5)
        axis.set_ylabel("pairs", fontsize=7.5)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.plot(np.clip(values.mean(), -reach, reach), 0, "^", color=INK, markersize=6, clip_on=False)
    axis.set_xlim(-reach - BIN / 2, reach + BIN / 2)
    _say_beyond(axis, values, reach)


def _say_beyond(axis: Axes, values: NDArray[np.float64], reach: float) -> None:
    """Say at each edge how many differences lie beyond it."""
    for side, place, count in (
        ("left", 0.02, int((values < -reach).sum())),
        ("right", 0.98, int((values > reach).sum())),
    ):
        if count:
            axis.text(
                place,
                0.97,
                f"{count} beyond",
                ha=side,
                va="top",
                fontsize=7,
                transform=axis.transAxes,
            )


def _draw_density(axis: Axes, rows: list[Pairs], name: str, known: Spreads, reach: float) -> None:
    """The density that the placebo's spreads make of no effect, as a number of pairs per bin."""
    from matplotlib.ticker import MaxNLocator
    from scipy.stats import t

    x = np.linspace(-reach, reach, 201)
    expected = np.zeros_like(x)
    for row in rows:
        sparsity = row.key["sparsity"]
        if row.key["correction"] == name and sparsity in known:
            expected += len(row.differences) * BIN * t.pdf(x, known[sparsity].df)
    axis.plot(x, expected, color=INK, linewidth=1.2, linestyle="--")
    # Room for the words at the edges.
    axis.set_ylim(0, max(1.1 * axis.get_ylim()[1], 1.2 * expected.max()))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _annotate(figure: Figure, title: str, styles: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = next(look["color"] for name, look in styles.items() if is_placebo(name))
    handles: list[Artist] = [
        Patch(facecolor="white", edgecolor=grey, hatch="/////"),
        Line2D([], [], color=INK, linewidth=1.2, linestyle="--"),
        Line2D([], [], color=INK, marker="^", markersize=6, linestyle="none"),
    ]
    labels = ["placebo", "t density of no effect, with the placebo's spread", "mean"]
    figure.supxlabel(
        "final test accuracy, correction − none, paired by seed,\n"
        "in standard deviations of the placebo's rows of the same sparsity",
        fontsize=7.5,
    )
    add_legend(figure, handles, labels, f"A/A calibration: {title}")
