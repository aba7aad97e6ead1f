"""Which rows of a grid need more seeds: a rule that looks at precision, never at the effect.

Whoever adds seeds until a difference looks as it should finds it in the end. To stop where an
interval is narrow enough leaves it honest, as the mean of normal differences is independent of
their spread; only must that be known well enough (``freedom`` of the rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agc.grids.cell import Cell
from agc.grids.files import Precision
from agc.grids.seeds import arms_of, rows_of
from agc.records.failure import WITHOUT_RESULT
from agc.reports.arms import PLAIN
from agc.reports.labels import task_columns
from agc.reports.pooled import BUDGETS, MEASURES, paired_rows, trains_for_it
from agc.reports.rows import row_intervals
from agc.reports.statistics import ROUNDING
from agc.reports.verdict import POINTS

if TYPE_CHECKING:
    import pandas as pd

PRECISE, WAITING, CAPPED, MORE, NO_PAIR = "precise", "waiting", "at the cap", "more", "no pair"


class Comparison(NamedTuple):
    """Half the width of an interval, in points (NaN: nothing tells a spread), and what it is of.

    ``target`` and ``freedom`` are what the rule asks of ``half_width`` and ``df``.
    """

    correction: str
    measure: str
    budget: str
    half_width: float
    target: float
    df: float
    freedom: int

    @property
    def precise(self) -> bool:
        """Whether it is narrow enough, by a spread that may say so."""
        return self.df >= self.freedom and self.half_width <= self.target + ROUNDING

    @property
    def excess(self) -> float:
        """Half-width by target; infinite where there is none."""
        return np.inf if np.isnan(self.half_width) else self.half_width / self.target


class RowPrecision(NamedTuple):
    """What the rule says of a row.

    Attributes:
        name: as of :func:`agc.grids.seeds.row_name`.
        arms: a cell of each arm.
        seeds: that every arm has in the grid.
        missing: cells without a result.
        widest: the comparison that decides; None where no correction has a pair.
        state: ``PRECISE``, ``WAITING`` for missing cells, ``CAPPED``, ``MORE`` or ``NO_PAIR``.
        added: the seeds that it gets.
    """

    name: str
    arms: tuple[Cell, ...]
    seeds: int
    missing: int
    widest: Comparison | None
    state: str
    added: tuple[int, ...]


def judge_precision(
    records: pd.DataFrame, cells: Sequence[Cell], precision: Precision, rates_by_arm: bool = False
) -> list[RowPrecision]:
    """What a grid's rule says of each row that has a correction, in the grid's order.

    A row is precise when every interval that the tables give of it is: of each correction, at
    equal epochs and at equal units, in final accuracy and, where the objective trains for it, in
    robust accuracy. Its spread is that of all rows of the task with its sparsity.

    Args:
        records: a row for each cell, as collected; those of other cells do not count.
        cells: of the grid.
        precision: the grid's rule.
        rates_by_arm: its learning rates were chosen for each arm.
    """
    wanted = {cell.slug for cell in cells}
    own = records[records["slug"].isin(wanted)]
    done = set(own.loc[~own["status"].isin(WITHOUT_RESULT), "slug"])
    compared = compare_widths(own, precision)
    judged = []
    for name, row in rows_of(cells, rates_by_arm).items():
        if all(cell.correction.name == PLAIN for cell in row):
            continue
        arms = arms_of(row)
        seeds = min(len(arm) for arm in arms)
        missing = sum(cell.slug not in done for cell in row)
        found = [c for cell in row for c in compared.get(cell.slug, ())]
        widest = max(found, key=lambda c: (not c.precise, c.excess), default=None)
        state = _state(widest, seeds, missing, precision)
        first = 1 + max(cell.seed for cell in row)
        count = min(precision.block, precision.cap - seeds) if state == MORE else 0
        added = tuple(range(first, first + count))
        judged.append(
            RowPrecision(name, tuple(arm[0] for arm in arms), seeds, missing, widest, state, added)
        )
    return judged


def compare_widths(records: pd.DataFrame, precision: Precision) -> dict[str, list[Comparison]]:
    """The comparisons of each row, by the slug of one of the corrected runs that are compared."""
    targets = {"accuracy": precision.half_width, "robust": precision.robust or precision.half_width}
    found: dict[str, list[Comparison]] = {}
    corrected = records[records["correction"] != PLAIN]
    for _, arm in corrected.groupby([*task_columns(records.columns), "correction"], sort=True):
        correction, objective = arm["correction"].iloc[0], arm["objective"].iloc[0]
        for measure, column in MEASURES.items():
            if measure == "robust" and not trains_for_it(objective):
                continue
            for budget in BUDGETS:
                rows = paired_rows(records, arm, column, budget)
                intervals = row_intervals(
                    [row.differences for row in rows], [row.sparsity for row in rows]
                )
                for row, interval in zip(rows, intervals, strict=True):
                    half = POINTS.factor * (interval.high - interval.low) / 2
                    rule = (targets[measure], interval.df, precision.freedom)
                    one = Comparison(correction, measure, budget, half, *rule)
                    found.setdefault(row.slug, []).append(one)
    return found


def _state(widest: Comparison | None, seeds: int, missing: int, precision: Precision) -> str:
    if missing:
        return WAITING
    if widest is None:
        # More seeds of runs that all diverge would make no pair either.
        return NO_PAIR
    if widest.precise:
        return PRECISE
    return CAPPED if seeds >= precision.cap else MORE
