"""Dose and response: what a correction changes in accuracy, against its γ."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.reports.arms import PLAIN
from agc.reports.figures.style import COLOURS, EDGE, LINES, MARKERS, PLAIN_COLOUR, add_legend, fit
from agc.reports.labels import task_columns
from agc.reports.pooled import pooled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 3
"""Values of γ that make a curve."""
OPTION = re.compile(r"(?:(?<=\()|, )gamma=([^,()]+)")
WIDTH, HEIGHT, MARGINS = 2.9, 2.4, 0.9
MOST_COLUMNS = 3
MARKER_SIZE = 4
ALL = "all rows"
APART = 0.035
"""Between neighbouring lines, as share of the axis: bars at one γ would hide each other."""


class Dose(NamedTuple):
    """A correction's label without its γ, and its γ."""

    series: str
    gamma: float


def draw_gammas(records: pd.DataFrame) -> list[Figure]:
    """Pages of a panel for each task and correction that has three values of γ or more.

    A line for each sparsity, and one for all rows, of the pooled difference of final test accuracy
    with its 95 % interval.

    Args:
        records: a row for each cell, as collected.

    Returns:
        None where no correction has three values.
    """
    doses = {name: dose(name) for name in sorted(set(records["correction"]) - {PLAIN})}
    known = {name: found for name, found in doses.items() if found is not None}
    task = task_columns(records.columns)
    panels: list[tuple[str, dict[str, list[tuple[float, float, float, float]]]]] = []
    for key, group in records.groupby(task, sort=True):
        for series in sorted({found.series for found in known.values()}):
            there = set(group["correction"])
            names = {
                name: found.gamma
                for name, found in known.items()
                if found.series == series and name in there
            }
            if len(set(names.values())) >= FEWEST:
                mine = group[group["correction"].isin([PLAIN, *names])]
                title = ", ".join([*(part for part in key if part), series])
                panels.append((title, _curves(mine, names)))
    return [
        _draw(panels[start : start + MOST_COLUMNS]) for start in range(0, len(panels), MOST_COLUMNS)
    ]


def dose(label: str) -> Dose | None:
    """γ of a correction by its label; None if it has none, or one that no logarithm shows."""
    name = label.partition("(")[0]
    if given := OPTION.search(label):
        gamma = float(given.group(1))
        series = OPTION.sub("", label).replace("(, ", "(").replace("()", "")
    else:
        try:
            usual = AXES["correction"].registry.resolve(name, {})
        except UserError:
            return None
        gamma, series = usual.get("gamma"), label
    return Dose(series, float(gamma)) if gamma else None


def _curves(
    records: pd.DataFrame, names: dict[str, float]
) -> dict[str, list[tuple[float, float, float, float]]]:
    """γ, mean, low and high of each line, by its label, by γ."""
    sparsities = sorted(set(records["sparsity"]))
    parts = {
        f"{100 * sparsity:g} %": records[records["sparsity"] == sparsity] for sparsity in sparsities
    }
    if len(parts) > 1:
        parts[ALL] = records
    curves = {}
    for label, part in parts.items():
        found = pooled(part)
        found = found[(found["measure"] == "accuracy") & (found["budget"] == "epochs")]
        curves[label] = sorted(
            (names[row.correction], row.mean, row.low, row.high) for row in found.itertuples()
        )
    return curves


def _draw(panels: list[tuple[str, dict[str, list[tuple[float, float, float, float]]]]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    width = max(WIDTH * len(panels), 4.2) + 0.5
    figure = Figure(figsize=(width, HEIGHT + MARGINS), layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    labels = sorted({label for _, curves in panels for label in curves if label != ALL}, key=_share)
    if any(ALL in curves for _, curves in panels):
        labels.append(ALL)
    looks = {
        label: {
            "color": PLAIN_COLOUR if label == ALL else COLOURS[i % len(COLOURS)],
            "linestyle": "-" if label == ALL else LINES[(i + 1) % len(LINES)],
            "marker": "o" if label == ALL else MARKERS[(i + 1) % len(MARKERS)],
        }
        for i, label in enumerate(labels)
    }
    for axis, (title, curves) in zip(axes, panels, strict=True):
        _draw_panel(axis, curves, labels, looks)
        axis.set_title(fit(figure, title, width / len(panels) - 0.5))
    handles = [Line2D([], [], **looks[label], markersize=MARKER_SIZE) for label in labels]
    axes[0].set_ylabel("final test accuracy,\ncorrection − none, points")
    figure.supxlabel(
        "γ\nmean of the rows' means, at equal epochs, with its 95 % t interval", fontsize=7.5
    )
    add_legend(figure, handles, labels, "Accuracy against γ")
    return figure


def _share(label: str) -> float:
    return float(label.removesuffix(" %"))


def _draw_panel(
    axis: Axes,
    curves: dict[str, list[tuple[float, float, float, float]]],
    labels: list[str],
    looks: dict[str, dict[str, object]],
) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    gammas = sorted({point[0] for points in curves.values() for point in points})
    reach = np.log(gammas[-1] / gammas[0])
    axis.axhline(0, color="#333333", linewidth=0.8)
    for place, label in enumerate(labels):
        points = curves.get(label, [])
        if not points:
            continue
        gamma, mean, low, high = np.array(points).T
        aside = np.exp(reach * APART * (place - (len(labels) - 1) / 2))
        axis.errorbar(
            gamma * aside,
            mean,
            np.abs([mean - low, high - mean]),
            **looks[label],
            markersize=MARKER_SIZE,
            elinewidth=0.9,
            capsize=2,
        )
    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(gammas, [f"{gamma:g}" for gamma in gammas])
