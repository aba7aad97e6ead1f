"""A comparison in the terminal, within 120 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.claims import PAPER
from agc.reports.compare import Comparison
from agc.reports.labels import task_columns
from agc.reports.tables.formatting import change, number, points
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.overview import CAPTION, COLUMNS, name_row, overview_cells
from agc.reports.tables.pooled import pooled_lines

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ["method", "correction", *(name for name, _ in COLUMNS)]
# The other columns break between words where the terminal is too narrow.
KEPT_WHOLE = {"method", "correction", "none", "difference"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table for each data set, architecture, objective and recipe, then what all rows say
    together, then the claims.
    """
    from rich.table import Table

    keys = [*task_columns(comparison.main.columns), "recipe"]
    for key, group in comparison.main.groupby(keys, sort=True):
        title = ", ".join(part for part in key if part)
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        for index, name in enumerate(HEADER):
            table.add_column(
                name.replace("units per ", "units per\n"),
                justify="left" if index < 2 else "right",
                overflow="fold",
                no_wrap=name in KEPT_WHOLE,
                max_width=8 if name in ("epochs", "units") else None,
            )
        for row in group.itertuples():
            table.add_row(*name_row(row), *overview_cells(row))
        console.print(table)
        console.print()
    console.print(CAPTION, highlight=False, style="dim")
    for line in [*pooled_lines(comparison.pooled), *ladder_lines(comparison.ladder)]:
        console.print(line, highlight=False, markup=False)
    for row in comparison.claims.itertuples():
        console.print(_claim(row), highlight=False, markup=False)


def _claim(row: Any) -> str:
    claim = PAPER[row.claim]
    show = change if row.claim.startswith("B") else points
    paper = f" (paper: {show(claim.paper)}, {claim.place})" if claim.place else ""
    text = f"{row.measure}{paper}, {row.objective} {row.correction}; rows: {row.rows}; mean "
    parts = [f"{show(row.epochs_mean)} at equal epochs"]
    if row.claim == "A":
        parts.append(f"{show(row.units_mean)} at equal units")
    if row.claim.startswith("B"):
        missed = "not reached" if row.claim == "B" else "not all reached"
        parts = [
            f"{show(row.epochs_mean)} in epochs, {show(row.units_mean)} in units",
            f"{missed}: {number(row.not_reached)}",
        ]
    if row.epochs_best_row:
        parts.append(f"best {show(row.epochs_best)} ({row.epochs_best_row})")
    return text + "; ".join(parts)
