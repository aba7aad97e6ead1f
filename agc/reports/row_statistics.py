"""What each row of the comparison says by itself, and what it says with the spread of its like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agc.grids.files import Margin
from agc.reports.arms import PLAIN, finished, paired
from agc.reports.families import adjusted
from agc.reports.images import correct_images, two_way_interval
from agc.reports.labels import row_columns, task_columns
from agc.reports.machines import summarize_machines
from agc.reports.pooled import MARGIN, MEASURES, trains_for_it
from agc.reports.rows import Row, row_intervals
from agc.reports.statistics import paired_difference, summarize
from agc.reports.verdict import POINTS, verdict

if TYPE_CHECKING:
    import pandas as pd

CAPABILITY = "cpu_capability"
BY_IMAGES = ("accuracy_difference_low_images", "accuracy_difference_high_images")


def add_row_statistics(
    main: pd.DataFrame, records: pd.DataFrame, margin: Margin = MARGIN
) -> pd.DataFrame:
    """The main table with more of each row's differences, which are fractions.

    ``headroom`` is what the plain run's mean final accuracy lacks of 1. For both measures,
    ``{measure}_difference_`` of:

    ``sd``, ``df``, ``p``, ``low90``, ``high90``: of the row's own pairs, as its 95 % interval.
    ``low_pooled``, ``high_pooled``, ``low90_pooled``, ``high90_pooled``, ``p_pooled``: the same
    with the spread that all rows of its sparsity, task and correction share.
    ``p_bh``: ``p_pooled`` after Benjamini and Hochberg's adjustment over the rows of the task and
    correction. ``mde80``: the smallest difference that is found four times in five. ``attained``:
    the least margin within which the row is equivalent. ``verdict``: that of
    :mod:`agc.reports.verdict`; all three are of the shared spread. A row without a pair has no
    verdict, nor has robust accuracy where the objective does not train for it.

    ``cpu_capability`` (the instruction sets of the row's cells) is there where records tell it,
    and ``accuracy_difference_low_images`` to ``_high_images``, the interval of
    :func:`agc.reports.images.two_way_interval`, where all pairs of a row tell their images.

    Args:
        main: the rows, with both arms.
        records: a row for each cell, as collected.
        margin: the largest differences that do not matter, as the grid has them.
    """
    import pandas as pd

    cells = _cells(main, records)
    arms = list(map(_arms, cells))
    columns: dict[str, Any] = {"headroom": 1 - main["plain_final_accuracy_mean"]}
    for measure, column in MEASURES.items():
        differences = [paired(plain, corrected, column) for plain, corrected in arms]
        own = pd.DataFrame(list(map(_own, differences)), main.index)
        shared = _shared(main, differences, measure, getattr(margin, measure) / POINTS.factor)
        columns |= {
            f"{measure}_difference_{name}": found[name] for found in (own, shared) for name in found
        }
    columns |= _machines(cells) | _by_images(arms)
    return pd.concat([main, pd.DataFrame(columns, index=main.index)], axis=1)


def _cells(main: pd.DataFrame, records: pd.DataFrame) -> list[pd.DataFrame]:
    """The records of both arms of each row."""
    names = [*row_columns(records.columns), "recipe"]
    places = records.groupby(names).groups
    keys = main[names].itertuples(index=False, name=None)
    found = []
    for key, correction in zip(keys, main["correction"], strict=True):
        cells = records.loc[places[key]]
        found.append(cells[cells["correction"].isin([PLAIN, correction])])
    return found


def _arms(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    plain = cells["correction"] == PLAIN
    return finished(cells[plain]), finished(cells[~plain])


def _own(differences: NDArray[np.float64]) -> dict[str, float]:
    from scipy.stats import t

    known = summarize(differences)
    inner = paired_difference(differences, 0.9)
    # No interval: one pair, or the same difference in all of them.
    free = np.isnan(inner.low)
    statistic = np.nan if free else known.mean / (known.sd / np.sqrt(known.n))
    return {
        "sd": _rounded(known.sd),
        "df": max(known.n - 1, 0),
        "p": np.nan if free else float(2 * t.sf(abs(statistic), known.n - 1)),
        "low90": _rounded(inner.low),
        "high90": _rounded(inner.high),
    }


def _shared(
    main: pd.DataFrame, differences: list[NDArray[np.float64]], measure: str, margin: float
) -> pd.DataFrame:
    """Columns that come from the rows of a task and correction together."""
    import pandas as pd

    family = [*task_columns(main.columns), "correction"]
    parts = []
    for _, group in main.reset_index(drop=True).groupby(family, sort=False):
        rows = row_intervals([differences[i] for i in group.index], list(group["sparsity"]))
        frame = pd.DataFrame([_judged(row, margin) for row in rows], group.index)
        frame.insert(frame.columns.get_loc("mde80"), "p_bh", adjusted(frame["p_pooled"], "fdr_bh"))
        if measure == "robust":
            asked = group["objective"].map(trains_for_it).astype(bool)
            frame["verdict"] = frame["verdict"].where(asked, "")
        parts.append(frame)
    return pd.concat(parts).sort_index().set_axis(main.index)


def _judged(row: Row, margin: float) -> dict[str, Any]:
    found = verdict(row.low, row.high, row.low90, row.high90, margin, POINTS)
    return {
        "low_pooled": _rounded(row.low),
        "high_pooled": _rounded(row.high),
        "low90_pooled": _rounded(row.low90),
        "high90_pooled": _rounded(row.high90),
        "p_pooled": row.p,
        "mde80": _rounded(row.mde),
        "attained": _rounded(max(abs(row.low90), abs(row.high90))),
        "verdict": found.word if row.n else "",
    }


def _machines(cells: list[pd.DataFrame]) -> dict[str, list[str]]:
    """The column of the instruction sets; none where no record tells it."""
    if not any(f"provenance_{CAPABILITY}" in own for own in cells):
        return {}
    sets = [summarize_machines(own).get("instruction_sets", {}) for own in cells]
    return {CAPABILITY: [" and ".join(own) for own in sets]}


def _by_images(arms: list[tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, list[float]]:
    """Columns of the interval over seeds and images; none where no row has one."""
    found = [correct_images(*pair) for pair in arms]
    if not any(images is not None for images in found):
        return {}
    ends = [two_way_interval(*images)[1:3] if images else (np.nan, np.nan) for images in found]
    return {
        name: [_rounded(end) for end in column]
        for name, column in zip(BY_IMAGES, zip(*ends, strict=True), strict=True)
    }


def _rounded(value: float) -> float:
    # What is left of a sum that is 0 is another number on every machine.
    return round(float(value), 12) + 0.0
