"""Performance profile of methods: how often each lies within x points of the highest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import PLAIN
from agc.reports.figures.style import COLOURS, EDGE, LINES, MARKERS, add_legend
from agc.reports.labels import task_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FEWEST = 5
"""Methods that make a profile."""
MOST_NAMED = 6
"""Lines that can be followed; the other methods are grey."""
STEPS = 400
SHOWN = 0.9
"""Share of all distances that the axis shows."""
SIZE = (5.2, 3.6)
GREY = "#bbbbbb"


class Profile(NamedTuple):
    """Distances of a method to the highest one, in points, ascending; infinite: no result."""

    method: str
    distances: NDArray[np.float64]

    def shares(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the method's runs within so many points of the highest."""
        return np.searchsorted(self.distances, points + 1e-9, side="right") / len(self.distances)


def profiles(records: pd.DataFrame) -> list[Profile]:
    """Plain runs' distances to the highest final test accuracy of the same place.

    A place is a task × sparsity × recipe × seed, and counts where at least five methods have a
    cell. A run without a result is infinitely far. Sorted by the mean distance, nearest first; a
    run without a result counts in it as the farthest of all that have one.

    Args:
        records: a row for each cell, as collected.
    """
    plain = records[records["correction"] == PLAIN]
    accuracy = plain["final_test_accuracy"].where(plain["status"] == "finished")
    cells = plain.assign(points=100 * accuracy.astype(float))
    place = [*task_columns(records.columns), "sparsity", "recipe", "seed"]
    cells = cells[cells.groupby(place)["method"].transform("nunique") >= FEWEST]
    cells = cells.assign(distance=cells.groupby(place)["points"].transform("max") - cells["points"])
    found = [
        Profile(method, np.sort(own["distance"].fillna(np.inf).to_numpy(float)))
        for method, own in cells.groupby("method", sort=True)
    ]
    farthest = float(cells["distance"].max())
    means = {one.method: np.minimum(one.distances, farthest).mean() for one in found}
    return sorted(found, key=lambda one: (means[one.method], one.method))


def draw_profile(records: pd.DataFrame) -> list[Figure]:
    """A line for each method, of which the nearest to the highest are told apart.

    Args:
        records: a row for each cell, as collected.

    Returns:
        One figure; none for fewer than five methods.
    """
    from matplotlib.figure import Figure

    found = profiles(records)
    if not found:
        return []
    every = np.concatenate([one.distances for one in found])
    reach = float(np.quantile(every[np.isfinite(every)], SHOWN)) or 1.0
    points = np.linspace(0, reach, STEPS)
    named = found[:MOST_NAMED]
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.get_layout_engine().set(w_pad=EDGE / 2)
    axis = figure.subplots()
    for one in found[MOST_NAMED:]:
        axis.plot(points, 100 * one.shares(points), color=GREY, linewidth=0.8)
    handles = []
    for index, one in enumerate(named):
        handles += axis.plot(
            points,
            100 * one.shares(points),
            color=COLOURS[index % len(COLOURS)],
            linestyle=LINES[index % len(LINES)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            # Lines that lie on each other would hide each other's markers.
            markevery=(index * STEPS // 40, STEPS // 6),
        )
    axis.set_xlim(0, reach)
    axis.set_ylim(0, 102)
    most = max(len(one.distances) for one in found)
    labels = [
        one.method if len(one.distances) == most else f"{one.method} ({len(one.distances)} runs)"
        for one in named
    ]
    figure.supylabel("share of runs, %", fontsize=8)
    figure.supxlabel(
        "within so many points of the highest final test accuracy\n"
        f"of a task, sparsity and seed; {most} runs a method",
        fontsize=7.5,
    )
    add_legend(figure, handles, labels, _title(found, named))
    return [figure]


def _title(found: list[Profile], named: list[Profile]) -> str:
    if len(found) == len(named):
        return f"{len(found)} methods without correction"
    return (
        f"{len(found)} methods without correction; named: the {len(named)} whose mean distance"
        f" to the highest is smallest; grey: the other {len(found) - len(named)}"
    )
