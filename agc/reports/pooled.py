"""One estimate of each correction's effect from all rows of a task, with its verdict.

Rows of three or five pairs say little by themselves; what a grid says of a correction is the mean
of its rows, with what it could have found and the largest difference that does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.grids.files import Margin
from agc.registry import OBJECTIVES
from agc.reports.arms import PLAIN, finished, paired, planned_runs
from agc.reports.families import adjusted, expected_best_of
from agc.reports.labels import task_columns
from agc.reports.pooling import pool
from agc.reports.rows import row_intervals
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


class PairedRow(NamedTuple):
    """Paired differences of one method × sparsity × recipe, as fractions; a corrected slug."""

    differences: NDArray[np.float64]
    sparsity: float
    slug: str


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
    corrected runs that have no result. ``verdict`` and ``sentence`` are those of
    :mod:`agc.reports.verdict`.

    Args:
        records: a row for each cell, as collected.
        margin: the largest differences that do not matter, as the grid has them.
    """
    import pandas as pd

    task = task_columns(records.columns)
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
                    # Without a pair a correction has a line still, but one alone.
                    if line["pairs"] or (measure, budget) == ("accuracy", "epochs"):
                        head = {"correction": name, "measure": measure, "budget": budget}
                        lost = {"diverged": int((arm["status"] == "diverged").sum())}
                        family.append(labels | head | lost | line)
                for line, p in zip(
                    family, adjusted([line["p"] for line in family], "holm"), strict=True
                ):
                    lines.append(line | {"p_holm": float(p)})
    return pd.DataFrame(lines, columns=[*task, *COLUMNS])


def trains_for_it(objective: str) -> bool:
    """Whether an objective, by its label, is adversarial; one that is not installed may be."""
    name, _, _ = objective.partition("(")
    return name not in OBJECTIVES.names() or OBJECTIVES[name].target.adversarial


def paired_rows(
    records: pd.DataFrame, arm: pd.DataFrame, column: str, budget: str
) -> list[PairedRow]:
    """The rows of a correction within one task that have a pair, at one of ``BUDGETS``."""
    plain = records[records["correction"] == PLAIN]
    task = task_columns(records.columns)
    keys = [*task, "method", "sparsity", "recipe"]
    rows = []
    for key, runs in arm.groupby(keys, sort=True):
        if budget == "planned":
            others = planned_runs(records, runs)
        else:
            others = finished(plain[(plain[keys] == list(key)).all(axis=1)])
        differences = paired(others, finished(runs), column)
        differences = differences[~np.isnan(differences)]
        if len(differences):
            rows.append(PairedRow(differences, runs["sparsity"].iloc[0], runs["slug"].iloc[0]))
    return rows


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
        # What is left of a sum that is 0 is another number on every machine.
        **{key: round(POINTS.factor * value, 10) + 0.0 for key, value in points.items()},
        **{"rows": found.k, "pairs": found.n, "margin": margin},
        **{"p": found.p, "tost_p": found.tost_p},
        **{"up": int((clear & (signs > 0)).sum()), "down": int((clear & (signs < 0)).sum())},
        **{"verdict": judged.word, "sentence": sentence(found.mean, judged, found.mde)},
    }
