"""``agc tune``: a learning rate for each arm of a grid, chosen by the runs made for it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from agc.commands.common import GridName, Results, cell_folder, make_console
from agc.commands.compare import Reports
from agc.commands.working import Working
from agc.errors import UserError
from agc.grids.grid import Grid, load_grid, read_grid
from agc.grids.tuning import tuning_name

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def tune(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
) -> None:
    """Choose a learning rate for each arm of a grid, by the validation accuracy of its tuning runs.

    They are the grid GRID-tuning, of a grid that has the key 'tuning': the same rates on the same
    seeds for every arm. Writes reports/GRID/tuning.csv.
    """
    from agc.records.read import read_record
    from agc.reports.tuning import choose, write_tuning

    path, file = read_grid(grid)
    if file.tuning is None:
        raise UserError(f"{path} has no key 'tuning', which lists learning rates and seeds")
    runs = load_grid(tuning_name(grid))
    if runs.file.tuning != file.tuning:
        raise UserError(f"{runs.path} has the name of the tuning runs of {path}: rename it")
    command = (
        f"snakemake --cores 2 --config grid={tuning_name(grid)} results={shlex.quote(str(results))}"
    )
    folders = {cell.slug: cell_folder(results, cell) for cell in runs.cells}
    missing = [slug for slug, folder in folders.items() if not (folder / "record.json").exists()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(folders)} tuning cells of {path} have no record in {results}, "
            f"the first is {missing[0]}; run them: {command}"
        )
    with Working("", text="the tuning runs are read"):
        records = {slug: read_record(folder) for slug, folder in folders.items()}
        table = choose(runs.cells, records)
    written = write_tuning(table, reports / path.stem)
    console = make_console()
    _show(table, runs, console)
    _extend(table, command, console)
    console.print(f"written: {written}", highlight=False, soft_wrap=True)
    console.print(
        f"to use it: learning_rates: PATH in {path}, from its folder to a copy of that file",
        highlight=False,
        soft_wrap=True,
    )


def _show(table: pd.DataFrame, runs: Grid, console: Console) -> None:
    from agc.reports.tables.tuning import tuning_sentence, tuning_table

    text = tuning_table(table)
    shown = Table(title=runs.name, title_justify="left", title_style="bold", show_edge=False)
    for index, name in enumerate(text.header):
        shown.add_column(name, justify="left" if index < text.labels else "right")
    for row in text.rows:
        shown.add_row(*row)
    console.print(shown)
    for line in (tuning_sentence(table), text.caption):
        console.print(line, highlight=False, markup=False)


def _extend(table: pd.DataFrame, command: str, console: Console) -> None:
    """Which choices are at an edge, and which rates would show whether they go on beyond it."""
    from agc.reports.tables.tuning import arm_columns, name_arm
    from agc.reports.tuning import next_rates

    names = arm_columns(table)
    for _, row in table[table["at_edge"]].iterrows():
        named = " ".join(name_arm(row, names))
        line = f"at an edge of the list: {row['lr']:g} of {named}"
        console.print(line, highlight=False, markup=False)
    if proposed := next_rates(table):
        console.print(
            f"add {' and '.join(f'{lr:g}' for lr in proposed)} to tuning.lr, which is the list of "
            f"every arm, so that budgets stay equal; then {command}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
