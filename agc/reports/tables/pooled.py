"""The pooled estimates as a table and as lines: each with its verdict, in the verdict's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, number, points
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = {"epochs": "epochs", "planned": "units, planned"}
CAPTION = (
    "Correction − none in percentage points at the last epoch, paired by seed: mean of all rows of"
    " a task, which are its methods × sparsities × recipes, with its 95 % t interval and its 90 %"
    " one. At equal units, planned: minus plain runs that had the correction's units as more"
    " epochs. Margin: the largest difference that does not matter, given by the grid; TOST: p of"
    " two one-sided tests that the mean lies within it. Holm: p of no difference, adjusted over the"
    " corrections of a task, measure and budget. Detectable: the smallest effect that such a grid"
    " finds four times in five. τ: standard deviation between rows beyond chance. Another row: the"
    " 95 % prediction interval. Extreme row by chance: what the row most in the correction's favour"
    " shows on average if none has an effect. Rows up, down: those whose 95 % interval, with the"
    " spread shared by all rows of a sparsity, excludes 0 after Benjamini and Hochberg's"
    " adjustment. That an interval contains 0 makes nothing equivalent: that takes a 90 % interval"
    " within the margin."
)
HEADER = (
    *("correction", "measure", "at equal", "rows (pairs)", "difference", "verdict", "90 %"),
    *("margin", "TOST", "Holm", "detectable", "τ", "another row"),
    *("extreme row by chance", "rows up, down"),
)


def pooled_table(pooled: pd.DataFrame) -> TextTable:
    """All pooled estimates; of the task, the objective and what is not the same in all of them."""
    keys = _keys(pooled)
    rows = [[*(row[key] for key in keys), *_cells(row)] for row in pooled.to_dict("records")]
    return TextTable(
        "Pooled differences",
        CAPTION,
        [*keys, *HEADER],
        rows,
        labels=len(keys) + 3,
        wrapped=(len(keys), len(keys) + HEADER.index("verdict")),
    )


def pooled_lines(pooled: pd.DataFrame) -> list[str]:
    """Each estimate in one line: what it is of, from how much, and the verdict's sentence."""
    keys = _keys(pooled)
    return [
        ", ".join(
            [
                row["measure"],
                *(row[key] for key in keys),
                row["correction"],
                f"at equal {BUDGETS[row['budget']]}",
                f"{counted(row['rows'], 'row')} ({counted(row['pairs'], 'pair')})",
            ]
        )
        + f": {row['sentence']}"
        for row in pooled.to_dict("records")
    ]


def _keys(pooled: pd.DataFrame) -> list[str]:
    return [
        key
        for key in task_columns(pooled.columns)
        if key == "objective" or pooled[key].nunique() > 1
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["correction"],
        row["measure"],
        BUDGETS[row["budget"]],
        f"{row['rows']} ({row['pairs']})",
        f"{points(row['mean'])} {_interval(row, 'low', 'high')}".removesuffix(f" {MISSING}"),
        row["verdict"],
        _interval(row, "low90", "high90"),
        f"±{number(row['margin'], 2)}",
        _p(row["tost_p"]),
        _p(row["p_holm"]),
        _size(row["detectable"]),
        _size(row["tau"]),
        _interval(row, "pred_low", "pred_high"),
        points(row["null_best"]),
        f"{row['up']}, {row['down']}",
    ]


def _interval(row: dict[str, Any], low: str, high: str) -> str:
    if row[low] != row[low]:
        return MISSING
    return f"[{points(row[low])}, {points(row[high])}]"


def _size(value: float) -> str:
    """A number of points that has no direction."""
    return MISSING if value != value else f"{value:.2f}"


def _p(value: float) -> str:
    if value != value:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def counted(count: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
