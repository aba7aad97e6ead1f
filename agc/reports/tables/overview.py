"""A comparison in one table: what the terminal shows, and the page of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agc.reports.acceleration import SHOWN
from agc.reports.pooled import trains_for_it
from agc.reports.tables.comparison import SHARED, VERDICT
from agc.reports.tables.formatting import (
    MISSING,
    accuracy,
    epochs_difference,
    number,
    percent,
    row_verdict,
    shared_difference,
    sparsity,
)

if TYPE_CHECKING:
    import pandas as pd

Column = tuple[str, Callable[[Any], str]]

COLUMNS: tuple[Column, ...] = (
    ("none", lambda row: accuracy(row, "plain", "final_accuracy", count=False)),
    ("corrected", lambda row: accuracy(row, "corrected", "final_accuracy", count=False)),
    ("difference", lambda row: shared_difference(row, "accuracy")),
    ("verdict", lambda row: row_verdict(row, "accuracy")),
    ("pairs", lambda row: str(row.accuracy_difference_n) if row.correction else MISSING),
    ("robust", lambda row: _robust(row)),
    (f"epochs to {SHOWN} %", lambda row: epochs_difference(row, SHOWN)),
    ("units per epoch", lambda row: _both(row, "units_per_epoch", number)),
)

PLAIN = "Final test accuracy in percent: mean ± sample standard deviation over seeds."

CAPTION = (
    f"{PLAIN} Difference: paired by seed, in points, with its 95 % t interval {SHARED}. {VERDICT}"
    " Robust: none→corrected, where the objective trains for it. Epochs to"
    f" {SHOWN} %: difference in epochs until {SHOWN} % of plain's mean final validation accuracy,"
    " with its 95 % t interval; a run that never gets there counts with all its epochs."
)


def describe(main: pd.DataFrame) -> str:
    """The caption of these rows: of differences there is nothing to say where none is corrected."""
    return CAPTION if main["correction"].astype(bool).any() else PLAIN


def name_row(row: Any) -> list[str]:
    """Method with its sparsity, and correction."""
    method = f"{row.method} {sparsity(row.sparsity)}" if row.sparsity else row.method
    return [method, row.correction or MISSING]


def overview_cells(row: Any) -> list[str]:
    """``COLUMNS`` of a row of the comparison's main table."""
    return [show(row) for _, show in COLUMNS]


def _robust(row: Any) -> str:
    if not trains_for_it(row.objective):
        return MISSING
    return _both(row, "final_robust_mean", lambda value: percent(value, 1))


def _both(row: Any, measure: str, show: Callable[[float], str]) -> str:
    arms = ("plain", "corrected") if row.correction else ("plain",)
    return "→".join(show(getattr(row, f"{arm}_{measure}")) for arm in arms)
