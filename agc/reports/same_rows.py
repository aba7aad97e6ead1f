"""The rows of two sets of the same cells: numbers of one kind of run, here and there."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agc.grids.axes import AXES
from agc.reports.arms import PLAIN
from agc.reports.compare import ACCURACIES
from agc.reports.labels import row_columns, row_names
from agc.reports.same_cells import SameCells

MEASURES = {"accuracy": ACCURACIES["final_accuracy"], "robust": ACCURACIES["final_robust"]}
"""What is judged, by the name of its margin: columns of the records."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """Numbers of one row in both sets, its group, and whether it was drawn anew."""

    name: str
    group: Hashable
    here: Values
    there: Values
    redrawn: bool


def rows_of(same: SameCells, measure: str, effect: bool) -> dict[tuple[str, str], list[Row]]:
    """Rows of each objective and correction; a row's numbers are of the runs that finished."""
    records = same.here.copy()
    column = MEASURES[measure]
    for side, own in (("_here", same.here), ("_there", same.there)):
        records[side] = own[column].astype(float).where(own["status"] == "finished")
    # Another version of an attack changes robust accuracy alone.
    unequal = records["_here"].fillna(-1) != records["_there"].fillna(-1)
    records["redrawn"] = ~same.alike | unequal
    keys = [*row_columns(records.columns), "recipe"]
    names = dict(zip(records.index, row_names(records), strict=True))
    found: dict[tuple[str, str], list[Row]] = {}
    for _, group in records.groupby(keys, sort=True):
        objective = str(group["objective"].iloc[0])
        if measure == "robust" and objective.split("(")[0] == AXES["objective"].default:
            continue
        plain = group[group["correction"] == PLAIN].set_index("seed")
        for correction in sorted(set(group["correction"])):
            if effect and correction == PLAIN:
                continue
            arm = group[group["correction"] == correction].set_index("seed")
            values, redrawn = arm[["_here", "_there"]], arm["redrawn"]
            if effect:
                seeds = arm.index.intersection(plain.index)
                values = values.loc[seeds] - plain.loc[seeds, ["_here", "_there"]]
                redrawn = redrawn.loc[seeds] | plain.loc[seeds, "redrawn"]
            row = Row(
                name=names[group.index[0]],
                group=group["sparsity"].iloc[0],
                here=values["_here"].dropna().to_numpy(float),
                there=values["_there"].dropna().to_numpy(float),
                redrawn=bool(redrawn.any()),
            )
            found.setdefault((objective, str(correction)), []).append(row)
    return found
