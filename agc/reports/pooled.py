"""One estimate of each correction's effect from all rows of a task, with its verdict.

Rows of three or five pairs say little by themselves; what a grid says of a correction is the mean
of its rows, with what it could have found and the largest difference that does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.grids.files import Margin
from agc.registry import DATASETS, OBJECTIVES
from agc.reports.arms import PLAIN, finished, paired, planned_runs
from agc.reports.families import adjusted, expected_best_of
from agc.reports.labels import row_columns, task_columns
from agc.reports.pooling import pool
from agc.reports.rows import mean_of_rows, row_intervals
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import POINTS, sentence, verdict

if TYPE_CHECKING:
    import pandas as pd

MARGIN = Margin()
MEASURES = {"accuracy": "final_test_accuracy", "robust": "final_robust_accuracy"}
"""Name, which is that of its margin; column of the records."""
BUDGETS = ("epochs", "planned")
COLUMNS = [
    *("correction", "measure", "budget", "rows", "pairs", "diverged"),
    *("mean", "low", "high", "low90", "high90", "p", "p_holm"),
    *("margin", "tost_p", "attained", "detectable"),
    *("tau", "pred_low", "pred_high", "null_best", "up", "down", "verdict", "sentence"),
]
SENSITIVITY = "mean_with_diverged"


class PairedRow(NamedTuple):
    """Paired differences of one method × sparsity × recipe, as fractions; its task, method,
    sparsity and recipe, a corrected slug, and the finished runs of both sides by seed.
    """

    differences: NDArray[np.float64]
    labels: dict[str, Any]
    slug: str
    plain: pd.DataFrame
    corrected: pd.DataFrame

    @property
    def sparsity(self) -> float:
        """Rows of one share their spread."""
        return self.labels["sparsity"]


def pooled(records: pd.DataFrame, margin: Margin = MARGIN) -> pd.DataFrame:
    """What all rows say together, for each task × correction × measure × budget.

    A task is what the axes but method and correction make. ``budget`` is ``epochs``, at equal
    epochs, or ``planned``, against plain runs of the grid that had the correction's units as more
    epochs. ``measure`` is ``accuracy``, or ``robust``, which is there where the objective trains
    for it. Both are of the last epoch, and all of the following are in percentage points:

    ``mean`` of the means of ``rows`` with ``pairs`` in all, its 95 % interval ``low`` to ``high``
    and its 90 % interval; the ``margin``, the p of equivalence within it (``tost_p``) and the least
    margin that they are equivalent within (``attained``); the smallest effect found four times
    in five (``detectable``); the standard deviation between rows beyond chance (``tau``) and what
    another row would show (``pred_*``); the mean of the best row if none has an effect
    (``null_best``).

    ``p_holm`` is adjusted over the corrections of the same task, measure and budget. ``up`` and
    ``down`` are rows whose interval, with the spread that all rows of their sparsity share,
    excludes 0 after Benjamini and Hochberg's adjustment over the rows. ``diverged`` counts the
    corrected runs that have no result; where any run of the grid diverged, ``mean_with_diverged``
    is the mean with such runs of both arms counted at chance (see :func:`counted_at_chance`), and
    NaN in the lines that have none. ``verdict`` and ``sentence`` are those of
    :mod:`agc.reports.verdict`.

    Args:
        records: a row for each cell, as collected.
        margin: the largest differences that do not matter, as the grid has them.
    """
    import pandas as pd

    task = task_columns(records.columns)
    counted = counted_at_chance(records)
    lines: list[dict[str, Any]] = []
    for key, group in records.groupby(task, sort=True):
        labels = dict(zip(task, key, strict=True))
        corrected = group[group["correction"] != PLAIN]
        for measure, column in MEASURES.items():
            if measure == "robust" and not trains_for_it(labels["objective"]):
                continue
            for budget in BUDGETS:
                family = []
                for name, arm in corrected.groupby("correction", sort=True):
                    rows = paired_rows(records, arm, column, budget)
                    line = _line(rows, getattr(margin, measure))
                    again = paired_rows(counted, counted.loc[arm.index], column, budget)
                    line[SENSITIVITY] = _mean_if_other(rows, again)
                    # Without a pair a correction has a line still, but one alone.
                    if line["pairs"] or (measure, budget) == ("accuracy", "epochs"):
                        head = {"correction": name, "measure": measure, "budget": budget}
                        lost = {"diverged": int((arm["status"] == "diverged").sum())}
                        family.append(labels | head | lost | line)
                for line, p in zip(
                    family, adjusted([line["p"] for line in family], "holm"), strict=True
                ):
                    lines.append(line | {"p_holm": float(p)})
    names = list(COLUMNS)
    if (records["status"] == "diverged").any():
        names.insert(names.index("mean") + 1, SENSITIVITY)
    return pd.DataFrame(lines, columns=[*task, *names])


def trains_for_it(objective: str) -> bool:
    """Whether an objective, by its label, is adversarial; one that is not installed may be."""
    name, _, _ = objective.partition("(")
    return name not in OBJECTIVES.names() or OBJECTIVES[name].target.adversarial


def paired_rows(
    records: pd.DataFrame, arm: pd.DataFrame, column: str, budget: str, base: str = PLAIN
) -> list[PairedRow]:
    """The rows of a correction that have a pair.

    Args:
        records: a row for each cell, as collected.
        arm: those of the correction.
        column: of the records; both sides of a pair have a number in it.
        budget: at equal ``epochs``, or against the ``planned`` runs, which are plain ones.
        base: label of what it is compared with at equal epochs.
    """
    plain = records[records["correction"] == base]
    keys = [*task_columns(records.columns), "method", "sparsity", "recipe"]
    rows = []
    for key, runs in arm.groupby(keys, sort=True):
        if budget == "planned":
            others = planned_runs(records, runs)
        else:
            others = finished(plain[(plain[keys] == list(key)).all(axis=1)])
        mine = finished(runs)
        differences = paired(others, mine, column)
        differences = differences[~np.isnan(differences)]
        if len(differences):
            labels = dict(zip(keys, key, strict=True))
            rows.append(PairedRow(differences, labels, runs["slug"].iloc[0], others, mine))
    return rows


def counted_at_chance(records: pd.DataFrame) -> pd.DataFrame:
    """Records in which diverged runs have finished, with the accuracies of guessing.

    To leave them out favours the arm that diverges: what survives is what went well. Chance is
    1 / classes, clean and robust, by the data set's entry; NaN where that tells no classes. Units
    and epochs are those of the finished runs of the same row.
    """
    counted = records.copy()
    diverged = counted["status"] == "diverged"
    if not diverged.any():
        return counted
    chance = counted.loc[diverged, "dataset"].map(_chance)
    for column in MEASURES.values():
        # Robust accuracy that nobody measured would not have been measured of these either.
        if counted[column].notna().any():
            counted.loc[diverged, column] = chance
    same = [*row_columns(counted.columns), "recipe", "correction"]
    ran = counted[["units", "epochs"]].astype(float).where(~diverged)
    usual = ran.groupby([counted[name] for name in same]).transform("mean")
    for column in usual:
        counted[column] = counted[column].astype(float).where(~diverged, usual[column])
    counted["status"] = counted["status"].where(~diverged, "finished")
    return counted


def _chance(dataset: str) -> float:
    """Accuracy of guessing on a data set, by its label; NaN where its classes are unknown."""
    name, _, _ = dataset.partition("(")
    classes = DATASETS[name].facts.get("classes") if name in DATASETS.names() else None
    return 1 / classes if classes else np.nan


def _mean_if_other(rows: list[PairedRow], counted: list[PairedRow]) -> float:
    """Mean of the rows in points with diverged runs counted; NaN if that adds no pair."""
    values = [row.differences for row in counted]
    if sum(map(len, values)) == sum(len(row.differences) for row in rows):
        return np.nan
    return _points(mean_of_rows(values).mean)


def _points(value: float) -> float:
    # What is left of a sum that is 0 is another number on every machine.
    return round(POINTS.factor * value, 10) + 0.0


def _line(rows: list[PairedRow], margin: float) -> dict[str, Any]:
    """The columns of one line that its rows make."""
    values, groups = [row.differences for row in rows], [row.sparsity for row in rows]
    # A hundredth of the margin, as accuracies are fractions up to here.
    found = pool(values, margin / POINTS.factor, groups)
    single = row_intervals(values, groups)
    clear = adjusted([row.p for row in single], "fdr_bh") < 1 - CONFIDENCE
    signs = np.sign([row.mean for row in single])
    judged = verdict(found.low, found.high, found.low90, found.high90, found.margin, POINTS)
    points = {
        **{key: getattr(found, key) for key in ("mean", "low", "high", "low90", "high90")},
        **{key: getattr(found, key) for key in ("attained", "tau", "pred_low", "pred_high")},
        "detectable": found.mde,
        "null_best": expected_best_of([row.se for row in single]).mean,
    }
    return {
        **{key: _points(value) for key, value in points.items()},
        **{"rows": found.k, "pairs": found.n, "margin": margin},
        **{"p": found.p, "tost_p": found.tost_p},
        **{"up": int((clear & (signs > 0)).sum()), "down": int((clear & (signs < 0)).sum())},
        **{"verdict": judged.word, "sentence": sentence(found.mean, judged, found.mde)},
    }
