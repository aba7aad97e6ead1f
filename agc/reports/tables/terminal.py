"""A comparison in the terminal: as many columns as it has room for, and none of them cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.acceleration import SHOWN
from agc.reports.compare import Comparison
from agc.reports.labels import task_columns
from agc.reports.tables.claims import claim_lines
from agc.reports.tables.entries import entry_lines
from agc.reports.tables.fitting import broken, fit
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.overview import COLUMNS, describe, name_row, overview_cells
from agc.reports.tables.pooled import pooled_lines
from agc.reports.tables.solvers import solver_lines
from agc.reports.text.study import paragraph

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ["method", "correction", *(name for name, _ in COLUMNS)]
WORDS = ("method", "correction", "verdict")
"""Columns of words; the others are numbers."""
WHERE_ROOM = ("corrected", "pairs", f"epochs to {SHOWN} %", "units per epoch")
"""Columns that a narrow terminal does without, the most wanted first, which is the sum of none and
difference."""


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table for each data set, architecture, objective and recipe, without columns that are
    empty throughout, then what all rows say together, then the claims.

    Columns that find no room are left out and named below the tables.
    """
    keys = [*task_columns(comparison.main.columns), "recipe"]
    hidden: dict[str, None] = {}
    for key, group in comparison.main.groupby(keys, sort=True):
        title = ", ".join(part for part in key if part)
        rows = [[*name_row(row), *overview_cells(row)] for row in group.itertuples()]
        hidden |= dict.fromkeys(_print_rows(title, rows, console))
    if hidden:
        line = f"No room in {console.width} columns for: {', '.join(hidden)}."
        console.print(line, highlight=False, style="bold")
    _say(describe(comparison.main), console, style="dim")
    entries = [] if comparison.entries is None else entry_lines(comparison.entries)
    if comparison.solvers is not None:
        entries = [*entries, *solver_lines(comparison.solvers)]
    for line in [*pooled_lines(comparison.pooled), *ladder_lines(comparison.ladder), *entries]:
        _say(line, console)
    for line in claim_lines(comparison.claims):
        _say(line, console)


def _print_rows(title: str, rows: list[list[str]], console: Console) -> list[str]:
    """Print one table; the headings of columns that were left out for want of room."""
    from rich.table import Table
    from rich.text import Text

    known = [i for i in range(len(HEADER)) if any(row[i] != MISSING for row in rows)]
    names = [HEADER[index] for index in known]
    headings = [name.replace("units per ", "units per\n") for name in names]
    cells = [[row[index] for index in known] for row in rows]
    words = {index for index, name in enumerate(names) if name in WORDS}
    less = [names.index(name) for name in WHERE_ROOM if name in names]
    widths = fit([headings, *cells], console.width, words, less)
    table = Table(
        title=Text(paragraph(title, console.width)),
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for index, width in widths.items():
        justify = "left" if index < 2 else "right"
        table.add_column(headings[index], justify=justify, min_width=width, no_wrap=True)
    for row in cells:
        table.add_row(
            *(broken(row[i], width) if i in words else row[i] for i, width in widths.items())
        )
    console.print(table)
    console.print()
    return [names[index] for index in range(len(names)) if index not in widths]


def _say(text: str, console: Console, style: str | None = None) -> None:
    # Broken here, not by the terminal, which would divide an interval.
    line = paragraph(text, console.width)
    console.print(line, highlight=False, markup=False, soft_wrap=True, style=style)
