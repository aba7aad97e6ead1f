"""Effects of a correction in single rows of a study, and between any two of its arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import PLAIN
from agc.reports.families import adjusted
from agc.reports.labels import task_columns
from agc.reports.pooled import MEASURES, paired_rows
from agc.reports.pooling import Pooled, pool
from agc.reports.rows import Row, row_intervals
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import POINTS, Verdict, marked, verdict

if TYPE_CHECKING:
    import pandas as pd


class Effect(NamedTuple):
    """One arm minus another in one row, seed by seed; accuracies are fractions.

    ``labels`` are the row's task, method, sparsity and recipe, ``task`` those of the task alone.
    ``base`` and ``corrected`` are the results of all seeds that have one; ``arm`` is the label of
    the latter.
    """

    arm: str
    labels: dict[str, Any]
    task: tuple[str, ...]
    base: NDArray[np.float64]
    corrected: NDArray[np.float64]
    differences: NDArray[np.float64]


class Judged(NamedTuple):
    """A row's mean and interval, its p adjusted over its family, and its verdict without that."""

    row: Row
    p: float
    verdict: Verdict

    @property
    def word(self) -> str:
        """The verdict; one of a difference that the adjustment takes away is marked as raw."""
        return marked(self.verdict.word, self.clear)

    @property
    def clear(self) -> bool:
        """Whether the row differs from 0 after the adjustment."""
        return self.p < 1 - CONFIDENCE


def effects(
    records: pd.DataFrame,
    arm: str,
    base: str = PLAIN,
    measure: str = "accuracy",
    budget: Literal["epochs", "planned"] = "epochs",
) -> list[Effect]:
    """The rows of a study in which ``arm`` and ``base`` have a seed in common.

    Args:
        records: a row for each cell, as collected.
        arm: label of a correction.
        base: the one that it is compared with.
        measure: ``accuracy`` or ``robust``, of the last epoch.
        budget: at equal epochs; ``planned``, against plain runs with the arm's units as epochs.
    """
    column = MEASURES[measure]
    task = task_columns(records.columns)
    found = []
    for row in paired_rows(records, records[records["correction"] == arm], column, budget, base):
        own = tuple(row.labels[name] for name in task)
        values = (side[column].dropna().to_numpy(float) for side in (row.plain, row.corrected))
        found.append(Effect(arm, row.labels, own, *values, row.differences))
    return found


def pool_effects(rows: Sequence[Effect], margin: float) -> Pooled:
    """The rows' pooled difference; see :func:`agc.reports.pooling.pool`."""
    return pool([row.differences for row in rows], margin, _groups(rows))


def judge_pooled(found: Pooled) -> Verdict:
    """The verdict on a pooled difference."""
    return verdict(found.low, found.high, found.low90, found.high90, found.margin, POINTS)


def judge_rows(
    rows: Sequence[Effect], margin: float, how: Literal["holm", "fdr_bh"]
) -> list[Judged]:
    """Each row's verdict, and its p adjusted over ``rows``, which are one family.

    A row shares its spread with those of its arm, task and sparsity, as in the pooled table.

    Args:
        rows: what is looked at together.
        margin: the largest difference that does not matter, as a fraction.
        how: of the adjustment, as of :func:`agc.reports.families.adjusted`.
    """
    single = row_intervals([row.differences for row in rows], _groups(rows))
    judged = []
    for row, p in zip(single, adjusted([row.p for row in single], how), strict=True):
        found = verdict(row.low, row.high, row.low90, row.high90, margin, POINTS)
        judged.append(Judged(row, float(p), found))
    return judged


def _groups(rows: Sequence[Effect]) -> list[tuple[Any, ...]]:
    return [(row.arm, *row.task, row.labels["sparsity"]) for row in rows]
