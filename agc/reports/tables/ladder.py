"""The budget ladders as a table and as lines: each ratio with its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.claims import PAPER, SOURCE
from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, change, percent, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Epochs and units to equal error"
SHOWN = "test"
"""The error that the page of a study and the terminal show; the table has all."""
CAPTION = (
    "Ratio, correction to none, of the epochs (or of the units) that both need for an equal error"
    " of the last epoch, from trainings that were each planned for their number of epochs. It is"
    " the geometric mean over the errors that both arms reach, read linearly between budgets in"
    " the logarithm of the epochs; with its 95 % interval, and its 90 % one, from a bootstrap over"
    " seeds. Common errors: those that both arms reach, in percent. Detectable: the ratio below 1"
    " that such a ladder finds four times in five. Margin: the ratio from which a difference"
    " matters, given by the grid; that an interval contains 1 makes nothing equivalent: that takes"
    " a 90 % interval within the margin. A line of all rows is their geometric mean, over the"
    " seeds that they all have."
)
HEADER = (
    *("correction", "error", "in", "seeds", "epochs of none", "of the correction", "ratio", "90 %"),
    *("detectable", "margin", "common errors", "verdict"),
)


def ladder_table(ladder: pd.DataFrame, shown: str = "") -> TextTable:
    """A line for each row × correction × error × cost, and for all rows together.

    Args:
        ladder: as of ``budget_ladders``; one line or more.
        shown: the one error to show; all without it.
    """
    keys = _keys(ladder)
    lines = ladder[ladder["measure"] == shown] if shown else ladder
    rows = [[*_names(row, keys), *_cells(row)] for row in lines.to_dict("records")]
    header = [*keys, "method", "sparsity", *HEADER]
    labels = len(keys) + 5
    return TextTable(TITLE, f"{CAPTION} {_paper()}", header, rows, labels, (len(header) - 1,))


def ladder_lines(ladder: pd.DataFrame) -> list[str]:
    """The ratios to equal test error, each in one line: what it is of, and its sentence."""
    if not len(ladder):
        return []
    keys = _keys(ladder)
    lines = []
    for row in ladder[ladder["measure"] == SHOWN].to_dict("records"):
        name, share, *rest = _names(row, keys)[len(keys) :]
        own = f"all {row['rows']} rows" if not row["method"] else f"{name} {share}".rstrip(" –")
        parts = [*(row[key] for key in keys if row[key]), own, row["correction"], *rest]
        paper = ""
        if row["paper"] == row["paper"]:
            paper = f" (paper: {change(100 * (row['paper'] - 1))})"
        lines.append(f"{row['cost']} to equal error, {', '.join(parts)}{paper}: {row['sentence']}")
    return lines


def _paper() -> str:
    levels, top = PAPER["B levels"], PAPER["B"]
    return (
        f"The paper's epochs: {change(levels.paper)} on average over levels of accuracy, and"
        f" {change(top.paper)} at the highest one, within one training each ({SOURCE})."
    )


def _keys(ladder: pd.DataFrame) -> list[str]:
    """Of the task and the settings, what is not the same in all lines."""
    single = ladder[ladder["method"] != ""]
    return [
        key
        for key in (*task_columns(ladder.columns), "family")
        if single[key].nunique(dropna=False) > 1
    ]


def _names(row: dict[str, Any], keys: list[str]) -> list[str]:
    own = [row["method"], sparsity(row["sparsity"])]
    own = own if row["method"] else [f"all {row['rows']}", MISSING]
    return [*(row[key] for key in keys), *own]


def _cells(row: dict[str, Any]) -> list[str]:
    overlap = f"{percent(row['overlap_low'])} to {percent(row['overlap_high'])}"
    return [
        *(row["correction"], row["measure"], row["cost"], str(row["seeds"])),
        *(row["budgets_plain"], row["budgets_corrected"]),
        f"{_ratio(row['ratio'])} {_interval(row, 'low', 'high')}".removesuffix(f" {MISSING}"),
        _interval(row, "low90", "high90"),
        _ratio(row["detectable"]),
        f"{_ratio(row['margin'])} to {_ratio(1 / row['margin'])}",
        overlap if row["overlap_low"] == row["overlap_low"] else MISSING,
        row["verdict"],
    ]


def _ratio(value: float) -> str:
    return MISSING if value != value else f"{value:.2f}".replace("inf", "∞")


def _interval(row: dict[str, Any], low: str, high: str) -> str:
    if row[low] != row[low]:
        return MISSING
    return f"[{_ratio(row[low])}, {_ratio(row[high])}]"
