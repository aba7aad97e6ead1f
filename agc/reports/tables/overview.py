"""A comparison in one table: what the terminal shows, and the page of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agc.reports.acceleration import SHOWN
from agc.reports.tables.formatting import (
    MISSING,
    accuracy,
    difference,
    epochs_difference,
    number,
    percent,
    sparsity,
)

Column = tuple[str, Callable[[Any], str]]

COLUMNS: tuple[Column, ...] = (
    ("none", lambda row: accuracy(row, "plain", "final_accuracy", count=False)),
    ("corrected", lambda row: accuracy(row, "corrected", "final_accuracy", count=False)),
    ("difference", lambda row: difference(row, "accuracy")),
    ("pairs", lambda row: str(row.accuracy_difference_n)),
    ("robust", lambda row: _both(row, "final_robust_mean", lambda value: percent(value, 1))),
    (f"epochs to {SHOWN} %", lambda row: epochs_difference(row, SHOWN)),
    ("units per epoch", lambda row: _both(row, "units_per_epoch", number)),
)

CAPTION = (
    "Final test accuracy in percent: mean ± sample standard deviation over seeds. Difference:"
    " paired by seed, in points, with its 95 % t interval. Robust: none→corrected. Epochs to"
    f" {SHOWN} %: difference in epochs until {SHOWN} % of plain's mean final validation accuracy,"
    " with its 95 % t interval; a run that never gets there counts with all its epochs."
)


def name_row(row: Any) -> list[str]:
    """Method with its sparsity, and correction."""
    method = f"{row.method} {sparsity(row.sparsity)}" if row.sparsity else row.method
    return [method, row.correction or MISSING]


def overview_cells(row: Any) -> list[str]:
    """``COLUMNS`` of a row of the comparison's main table."""
    return [show(row) for _, show in COLUMNS]


def _both(row: Any, measure: str, show: Callable[[float], str]) -> str:
    return "→".join(show(getattr(row, f"{arm}_{measure}")) for arm in ("plain", "corrected"))
