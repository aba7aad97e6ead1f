"""What the tables say of nothing: each pooled estimate beside that of the grid's placebo arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import common_seeds, is_placebo
from agc.reports.families import adjusted, expected_best_of
from agc.reports.labels import task_columns
from agc.reports.pooled import MEASURES, PairedRow, paired_rows
from agc.reports.rows import pooled_sd, row_intervals
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import POINTS

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("final_train_loss", "final_validation_loss")
"""Two runs that agree in these to the last bit had the same weights throughout."""
COLUMNS = [
    *("measure", "budget", "correction", "rows", "pairs", "mean", "low", "high", "verdict"),
    *("excluding", "excluding_bh", "excluding_by_chance"),
    *("largest", "largest_by_chance", "largest_by_chance_95"),
    *("identical", "sd_pairs", "sd_seeds"),
]


def calibration(records: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame | None:
    """Each pooled estimate, and last in its task, measure and budget that of the placebo.

    The placebo has the distribution of the plain runs, so what its line says is what the tables say
    of no effect. Beside ``mean``, ``low``, ``high`` and ``verdict`` of ``pooled``, in points:

    ``excluding``: rows whose 95 % interval, with the spread shared by the rows of a sparsity,
    excludes 0; ``excluding_bh`` after Benjamini and Hochberg's adjustment over the rows;
    ``excluding_by_chance``: how many do on average if none has an effect. ``largest``: the
    difference of the row that is farthest from 0, without its sign, and what it is if no row has an
    effect, on average (``largest_by_chance``) and in 19 of 20 grids (``largest_by_chance_95``).
    ``identical``: share of the pairs whose two runs are the same to the last bit: for the placebo
    0, or its noise moved nothing. ``sd_pairs``: standard deviation within rows of the differences
    of two runs of one seed; ``sd_seeds``: the same of two plain runs of different seeds.

    Args:
        records: a row for each cell, as collected.
        pooled: as of :func:`agc.reports.pooled.pooled`, of the same records.

    Returns:
        One row for each line of ``pooled`` that has the placebo's beside it, and for the placebo's;
        None if the grid has no placebo arm.
    """
    import pandas as pd

    if not records["correction"].map(is_placebo).any():
        return None
    task = task_columns(records.columns)
    lines = []
    for key, family in pooled.groupby([*task, "measure", "budget"], sort=False):
        nothing = family["correction"].map(is_placebo).astype(bool)
        # Plain runs of its units are those of its epochs: by itself it would be there twice.
        if nothing.any() and (key[-1] == "epochs" or not nothing.all()):
            ordered = pd.concat([family[~nothing], family[nothing]])
            lines += [line | _counts(records, line, task) for line in ordered.to_dict("records")]
    return pd.DataFrame(lines, columns=[*task, *COLUMNS])


def _counts(records: pd.DataFrame, line: dict[str, Any], task: list[str]) -> dict[str, Any]:
    """The columns that ``pooled`` has not."""
    own = (records[task] == [line[name] for name in task]).all(axis=1)
    arm = records[own & (records["correction"] == line["correction"])]
    column = MEASURES[line["measure"]]
    rows = paired_rows(records, arm, column, line["budget"])
    differences = [row.differences for row in rows]
    single = row_intervals(differences, [row.sparsity for row in rows])
    p = np.array([row.p for row in single])
    level = 1 - CONFIDENCE
    chance = expected_best_of([row.se for row in single], either_side=True)
    pairs = [same for row in rows for same in _identical(row)]
    # Two runs of different seeds are √2 times as far apart as each is from the mean.
    plain = pooled_sd([row.plain[column] for row in rows]).sd * np.sqrt(2)
    points = {
        "largest": max((abs(row.mean) for row in single), default=np.nan),
        "largest_by_chance": chance.mean,
        "largest_by_chance_95": chance.quantile,
        "sd_pairs": pooled_sd(differences).sd,
        "sd_seeds": plain,
    }
    return {
        "excluding": int((p < level).sum()),
        "excluding_bh": int((adjusted(p, "fdr_bh") < level).sum()),
        "excluding_by_chance": float(level * (~np.isnan(p)).sum()),
        "identical": float(np.mean(pairs)) if pairs else np.nan,
        **{name: round(POINTS.factor * value, 10) for name, value in points.items()},
    }


def _identical(row: PairedRow) -> NDArray[np.bool_]:
    """[pairs], whether both runs of a pair are the same to the last bit."""
    seeds = common_seeds(row.plain, row.corrected)
    columns = [*LOSSES, *(name for name in MEASURES.values() if row.plain[name].notna().any())]
    one, other = (arm.loc[seeds, columns].to_numpy(float) for arm in (row.plain, row.corrected))
    return (one == other).all(axis=1)
