"""The calibration as a table, and the sentence of a grid that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.arms import is_placebo
from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, number, percent, points
from agc.reports.tables.markup import TextTable
from agc.reports.tables.pooled import BUDGETS

if TYPE_CHECKING:
    import pandas as pd

HEADING = "What nothing looks like"
WITHOUT = "These cells have no placebo arm: nothing tells what its tables make of no effect."
CAPTION = (
    "The placebo is the plain run with noise of the size of rounding on its gradient: it has no"
    " effect, and its lines are what the same tables make of none. Differences in percentage points"
    " at the last epoch, mean of the rows with its 95 % t interval. Excluding 0: rows whose 95 %"
    " interval, with the spread shared by all rows of a sparsity, does; of those, how many after"
    " Benjamini and Hochberg's adjustment; and how many on average if no row has an effect. Largest"
    " row: the difference that is farthest from 0, without its sign; by chance: what it is on"
    " average, and below what it stays in 95 % of grids, if no row has an effect. Identical: pairs"
    " of which both runs are the same to the last bit. Spread of pairs: standard deviation of the"
    " difference of two runs of one seed; of seeds: of two plain runs of different seeds."
)
HEADER = (
    *("correction", "measure", "at equal", "rows (pairs)", "difference", "excluding 0"),
    *("adjusted", "by chance", "largest row", "by chance", "identical", "spread of pairs"),
    *("of seeds", "verdict"),
)


def calibration_table(calibration: pd.DataFrame) -> TextTable:
    """All lines; of the task, the objective and what is not the same in all of them."""
    keys = [
        key
        for key in task_columns(calibration.columns)
        if key == "objective" or calibration[key].nunique() > 1
    ]
    return TextTable(
        HEADING,
        CAPTION,
        [*keys, *HEADER],
        [[*(row[key] for key in keys), *_cells(row)] for row in calibration.to_dict("records")],
        labels=len(keys) + 3,
        wrapped=(len(keys), len(keys) + len(HEADER) - 1),
    )


def unmoved(calibration: pd.DataFrame) -> str:
    """A sentence on placebo runs that the noise did not move; empty if it moved all of them."""
    nothing = calibration[calibration["correction"].map(is_placebo).astype(bool)]
    most = nothing["identical"].max()
    if not most > 0:
        return ""
    return (
        f"The noise did not move all runs: up to {percent(most, 0)} % of a line's pairs with the"
        " placebo are identical to the last bit, and show less spread than no effect has."
    )


def _cells(row: dict[str, Any]) -> list[str]:
    difference = points(row["mean"])
    if row["low"] == row["low"]:
        difference += f" [{points(row['low'])}, {points(row['high'])}]"
    return [
        row["correction"],
        row["measure"],
        BUDGETS[row["budget"]],
        f"{row['rows']} ({row['pairs']})",
        difference,
        str(row["excluding"]),
        str(row["excluding_bh"]),
        number(row["excluding_by_chance"], 2),
        _size(row["largest"]),
        f"{_size(row['largest_by_chance'])}, <{_size(row['largest_by_chance_95'])}",
        MISSING if row["identical"] != row["identical"] else f"{percent(row['identical'], 0)} %",
        _size(row["sd_pairs"]),
        _size(row["sd_seeds"]),
        row["verdict"],
    ]


def _size(value: float) -> str:
    """A number of points that has no direction."""
    return MISSING if value != value else f"{value:.2f}"
