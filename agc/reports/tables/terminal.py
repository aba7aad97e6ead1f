"""A comparison in the terminal, within 120 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.compare import Comparison
from agc.reports.labels import task_columns
from agc.reports.tables.claims import claim_lines
from agc.reports.tables.entries import entry_lines
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.overview import COLUMNS, describe, name_row, overview_cells
from agc.reports.tables.pooled import pooled_lines
from agc.reports.tables.solvers import solver_lines

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ["method", "correction", *(name for name, _ in COLUMNS)]
# The other columns break between words where the terminal is too narrow.
KEPT_WHOLE = {"method", "correction", "none", "difference"}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table for each data set, architecture, objective and recipe, without columns that are
    empty throughout, then what all rows say together, then the claims.
    """
    from rich.table import Table

    keys = [*task_columns(comparison.main.columns), "recipe"]
    for key, group in comparison.main.groupby(keys, sort=True):
        title = ", ".join(part for part in key if part)
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        cells = [[*name_row(row), *overview_cells(row)] for row in group.itertuples()]
        shown = [i for i in range(len(HEADER)) if any(line[i] != MISSING for line in cells)]
        for index in shown:
            table.add_column(
                HEADER[index].replace("units per ", "units per\n"),
                justify="left" if index < 2 else "right",
                overflow="fold",
                no_wrap=HEADER[index] in KEPT_WHOLE,
            )
        for line in cells:
            table.add_row(*(line[index] for index in shown))
        console.print(table)
        console.print()
    console.print(describe(comparison.main), highlight=False, style="dim")
    entries = [] if comparison.entries is None else entry_lines(comparison.entries)
    if comparison.solvers is not None:
        entries = [*entries, *solver_lines(comparison.solvers)]
    for line in [*pooled_lines(comparison.pooled), *ladder_lines(comparison.ladder), *entries]:
        console.print(line, highlight=False, markup=False)
    for line in claim_lines(comparison.claims):
        console.print(line, highlight=False, markup=False)
