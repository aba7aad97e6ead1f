"""What a bit buys: final test accuracy against what a worker sends and gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.figures.entries import (
    MOST_COLUMNS,
    Looks,
    add_point,
    draw_entries,
    finished_entries,
    titled,
)
from agc.reports.labels import panel_keys

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS = "communication"
FEWEST = 3
"""Amounts of traffic that make a panel."""
MOST_ROWS = 3
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
    cells = finished_entries(records[records["bits_up"].notna()], AXIS)
    cells = cells.assign(megabits=(cells["bits_up"] + cells["bits_down"]) / 1e6)
    panels = titled(cells, panel_keys(records.columns, AXIS), _has_several)
    page = MOST_COLUMNS * MOST_ROWS
    return [
        draw_entries(
            panels[start : start + page],
            AXIS,
            _draw_panel,
            panel=(2.9, 2.6),
            least=4.2,
            sharey=True,
            below="Mbit of a worker in the whole training, up and down",
            title="Bits",
        )
        for start in range(0, len(panels), page)
    ]


def _has_several(cells: pd.DataFrame) -> bool:
    return cells.groupby("label")["megabits"].mean().nunique() >= FEWEST


def _draw_panel(axis: Axes, cells: pd.DataFrame, looks: Looks) -> None:
    middle = (len(looks.colours) - 1) / 2
    places = {name: APART ** (place - middle) for place, name in enumerate(looks.colours)}
    for (entry, _), runs in cells.groupby(["entry", "options"], sort=True):
        add_point(axis, runs, runs["megabits"].mean() * places[entry], looks)
