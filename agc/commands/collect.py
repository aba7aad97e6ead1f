"""``agc collect``: the records of a grid, gathered, and joined with those of elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from agc.commands.common import GridName, Results, cell_folder
from agc.commands.working import Working
from agc.errors import UserError
from agc.files import atomic_write_text
from agc.grids.grid import load_grid
from agc.records.failure import WITHOUT_RESULT


def collect(
    grid: GridName,
    results: Results = Path("results"),
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Show cells without a record as out of memory or unfinished."
        ),
    ] = False,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            "--merge",
            metavar="FOLDER",
            help="Join the parquet files of this folder, as results/GRID of another machine or "
            "reports/GRID of before, with the cells that are finished here; may be given several "
            "times. Cells that are nowhere are counted, and stand in no table.",
        ),
    ] = None,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed",
            help="With --merge: take cells of several instruction sets or cards, which are "
            "different draws; reports say so.",
        ),
    ] = False,
) -> None:
    """Gather the records of a grid's cells into two tables and one log."""
    from agc.reports.collect import collect as gather
    from agc.reports.merge import merge as join

    if mixed and not merge:
        raise UserError("--mixed is for --merge: cells of one results folder are taken as they are")
    if partial and merge:
        raise UserError("--merge counts what is missing by itself: leave out --partial")
    loaded = load_grid(grid)
    name, cells, by_arm = loaded.name, results / "cells", loaded.rates_by_arm
    folders = [cell_folder(results, cell) for cell in loaded.cells]
    if merge:
        found = join(loaded.cells, merge, cells, results / name, mixed=mixed, rates_by_arm=by_arm)
    else:
        with Working("cells") as tell:
            found = gather(folders, results / name, partial, by_arm, tell)
    atomic_write_text(results / name / "train.log", "\n".join(_logs(folders)))
    statuses = Counter(found)
    lacking = [f"{statuses[s]} {s}" for s in WITHOUT_RESULT if statuses[s]]
    count = f"{statuses.total() - sum(statuses[s] for s in WITHOUT_RESULT)} records"
    tables = f"{results / name}/records.parquet and epochs.parquet"
    typer.echo(f"{', '.join([count, *lacking])} in {tables}")


def _logs(folders: list[Path]) -> list[str]:
    logs = ((folder.name, folder / "train.log") for folder in folders)
    return [
        f"== {name}\n{path.read_text(encoding='utf-8')}" for name, path in logs if path.exists()
    ]
