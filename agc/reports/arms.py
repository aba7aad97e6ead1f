"""The two sides of a comparison: which runs stand against which, seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agc.reports.labels import row_columns

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.05
"""Plain runs with more epochs stand for equal computation if their units are within this."""
PLAIN = "none"
PLACEBO = "placebo"
"""The A/A arm, the plain run with noise of the size of rounding: what it shows is nothing."""


def is_placebo(correction: str) -> bool:
    """Whether a correction, by its label, is the arm without an effect."""
    return correction.partition("(")[0] == PLACEBO


def finished(arm: pd.DataFrame) -> pd.DataFrame:
    """The runs of an arm that have a result, by seed."""
    return arm[arm["status"] == "finished"].set_index("seed")


def common_seeds(one: pd.DataFrame, other: pd.DataFrame) -> list[int]:
    """The seeds, in order, of which both arms (as of :func:`finished`) have a result."""
    return sorted(set(one.index) & set(other.index))


def paired(plain: pd.DataFrame, corrected: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column of the corrected arm minus that of the plain one, for each of their common seeds.

    Both arms are as of :func:`finished`; [pairs], NaN where a run has no such number.
    """
    seeds = common_seeds(plain, corrected)
    return corrected.loc[seeds, column].to_numpy(float) - plain.loc[seeds, column].to_numpy(float)


def planned_runs(records: pd.DataFrame, corrected: pd.DataFrame) -> pd.DataFrame:
    """The plain runs of the grid that had a corrected arm's units as more epochs.

    Their schedule was made for those epochs. None where the grid has no such runs, as of a
    correction whose epochs cost no more than plain ones; of several lengths within ``TOLERANCE``,
    the one that is closest.

    Args:
        records: a row for each cell of the grid, as collected.
        corrected: the rows of one corrected arm.

    Returns:
        Those with a result, by seed.
    """
    mine = finished(corrected)
    if not len(mine):
        return finished(records.iloc[:0])
    keys = [*row_columns(records.columns), "family"]
    same = (records[keys] == mine.iloc[0][keys]).all(axis=1) & (records["correction"] == PLAIN)
    same &= records["epochs"] > mine["epochs"].max()
    ratio = records["units"] / mine["units"].mean()
    planned = records[same & ((ratio - 1).abs() <= TOLERANCE)]
    if planned["epochs"].nunique() > 1:
        closest = (ratio[planned.index] - 1).abs().idxmin()
        planned = planned[planned["epochs"] == planned.loc[closest, "epochs"]]
    return finished(planned)
