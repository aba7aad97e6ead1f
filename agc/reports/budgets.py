"""Epochs to equal error of every row of a grid that was trained for several budgets.

A row is one method × sparsity of a task, with all settings equal but the number of epochs; the
plain arm and the correction each need two budgets or more. Plain runs that stand for equal units
alone make no ladder, as their correction has one budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agc.reports.arms import PLAIN, common_seeds, finished
from agc.reports.claims import PAPER
from agc.reports.labels import row_columns, task_columns
from agc.reports.ladder import DRAWS, Ladder, Rungs, pooled_ladder
from agc.reports.pooled import MARGIN
from agc.reports.verdict import CHANGE, CHANGE_UNITS, Measure, sentence, verdict

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

MEASURES = {"test": "final_test_accuracy", "validation": "final_validation_accuracy"}
"""Error whose equality is meant, of the last epoch; column of the records."""
COSTS: dict[str, Measure] = {"epochs": CHANGE, "units": CHANGE_UNITS}
CLAIM = ("B levels", "agc")
"""The paper's claim that a ladder answers, which is one of epochs, and the correction it is of."""
COLUMNS = [
    *("method", "sparsity", "family", "correction", "rows", "seeds"),
    *("budgets_plain", "budgets_corrected", "measure", "cost"),
    *("ratio", "low", "high", "low90", "high90", "detectable", "share"),
    *("overlap_low", "overlap_high", "paper", "margin", "verdict", "sentence"),
]


class LadderRow(NamedTuple):
    """Both arms of a row, with a result at two budgets or more of their common seeds.

    ``labels`` name the row: its task, method, sparsity, family and correction. The arms are the
    runs of common seeds that have a result, by seed.
    """

    labels: dict[str, Any]
    plain: pd.DataFrame
    corrected: pd.DataFrame

    def rungs(self, measure: str, seeds: list[int]) -> tuple[Rungs, Rungs]:
        """The arms' errors of the last epoch, as fractions; a budget without any is left out."""
        column = MEASURES[measure]
        arms = []
        for arm in (self.plain, self.corrected):
            table = arm.pivot_table(index="seed", columns="epochs", values=column)
            table = table.reindex(seeds).dropna(axis="columns", how="all")
            arms.append(Rungs(table.columns.to_numpy(float), 1 - table.to_numpy(float)))
        return arms[0], arms[1]


def ladder_rows(records: pd.DataFrame) -> Iterator[LadderRow]:
    """Rows whose plain arm and correction both have several budgets, in the order of their names.

    Args:
        records: a row for each cell, as collected.
    """
    names = [*row_columns(records.columns), "family"]
    for key, group in records.groupby(names, sort=True):
        others = group[group["correction"] != PLAIN]
        for correction, arm in others.groupby("correction", sort=True):
            plain, corrected = finished(group[group["correction"] == PLAIN]), finished(arm)
            seeds = common_seeds(plain, corrected)
            plain, corrected = plain.loc[seeds], corrected.loc[seeds]
            if min(plain["epochs"].nunique(), corrected["epochs"].nunique()) > 1:
                labels = dict(zip(names, key, strict=True)) | {"correction": correction}
                yield LadderRow(labels, plain, corrected)


def budget_ladders(
    records: pd.DataFrame, margin: Margin = MARGIN, draws: int = DRAWS
) -> pd.DataFrame:
    """Ratio of epochs, and of units, to equal error: for each row, and for all rows together.

    A line for each row × correction × ``measure`` (``test`` or ``validation``, whose error is
    meant) × ``cost`` (``epochs`` or ``units``), then, where a task has several rows of a
    correction, one with an empty ``method`` and the number of ``rows``: their geometric mean, over
    the seeds that they all have. Numbers are those of :mod:`agc.reports.ladder`; budgets are
    epochs, overlaps are errors as fractions, and units per epoch are the arms' measured means.
    ``paper`` is the ratio that the paper claims for its correction; of units it claims none.
    ``verdict`` and ``sentence`` are those of :mod:`agc.reports.verdict`, on the grid's ``margin``.

    Args:
        records: a row for each cell, as collected.
        margin: the grid's; its ratio of epochs is used.
        draws: of the bootstrap.

    Returns:
        The lines; none where no row has several budgets in both arms.
    """
    import pandas as pd

    task = task_columns(records.columns)
    groups: dict[tuple[Any, ...], list[LadderRow]] = {}
    for row in ladder_rows(records):
        key = (*(row.labels[name] for name in task), row.labels["correction"])
        groups.setdefault(key, []).append(row)
    lines: list[dict[str, Any]] = []
    for key in sorted(groups):
        rows = groups[key]
        everything = dict(zip([*task, "correction"], key, strict=True))
        everything |= {"method": "", "sparsity": np.nan, "family": ""}
        for measure in MEASURES:
            for row in rows:
                lines += _lines(row.labels, [row], measure, margin.epochs, draws)
            if len(rows) > 1:
                lines += _lines(everything, rows, measure, margin.epochs, draws)
    return pd.DataFrame(lines, columns=[*task, *COLUMNS])


def _lines(
    labels: dict[str, Any], rows: list[LadderRow], measure: str, margin: float, draws: int
) -> list[dict[str, Any]]:
    """A line for each cost, of one row or of several; none where they have no seed in common."""
    seeds = sorted(set.intersection(*(set(row.plain.index) for row in rows)))
    pairs = [row.rungs(measure, seeds) for row in rows]
    if any(len(arm.budgets) < 2 for pair in pairs for arm in pair):
        return []
    found = pooled_ladder(pairs, draws=draws)
    arms = [[row.plain for row in rows], [row.corrected for row in rows]]
    # The geometric mean over rows, as that of their ratios.
    dear = [np.exp(np.mean(np.log([arm["units_per_epoch"].mean() for arm in own]))) for own in arms]
    head = labels | {"rows": len(rows), "measure": measure}
    for name, place in (("budgets_plain", 0), ("budgets_corrected", 1)):
        budgets = sorted({epochs for pair in pairs for epochs in pair[place].budgets})
        head[name] = " ".join(f"{epochs:g}" for epochs in budgets)
    scaled = {"epochs": found, "units": found.in_units(float(dear[0]), float(dear[1]))}
    claim, claimed = CLAIM
    own = labels["correction"].partition("(")[0] == claimed
    paper = {"epochs": 1 + PAPER[claim].paper / 100 if own else np.nan, "units": np.nan}
    return [
        head | {"cost": cost, "paper": paper[cost]} | _numbers(scaled[cost], COSTS[cost], margin)
        for cost in COSTS
    ]


def _numbers(found: Ladder, unit: Measure, margin: float) -> dict[str, Any]:
    ends = (found.low, found.high, found.low90, found.high90)
    judged = verdict(*ends, margin, unit)
    numbers = ("seeds", "ratio", "low", "high", "low90", "high90", "detectable", "share")
    return {
        **{name: getattr(found, name) for name in numbers},
        **dict(zip(("overlap_low", "overlap_high"), found.overlap, strict=True)),
        "margin": margin,
        "verdict": judged.word,
        "sentence": sentence(found.ratio, judged, found.detectable),
    }
