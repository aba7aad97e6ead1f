"""Arguments that several commands share."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.grid import load_grid
from agc.machine.stop import EXIT_CODE, Stopped

Results = Annotated[
    Path,
    typer.Option("--results", help="Folder of the results.", envvar="AGC_RESULTS"),
]
GridName = Annotated[
    str,
    typer.Argument(
        metavar="GRID", help="A grid of workflows/grids or of the package, or a YAML file's path."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="AGC_DEVICE",
        help="auto (a free one, of AGC_DEVICES if that lists some), cpu, cuda, cuda:1, ...",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        "--threads",
        min=1,
        envvar="AGC_THREADS",
        help="CPU threads; two processes of one thread beat one of two.",
    ),
]


def cell_folder(results: Path, cell: Cell) -> Path:
    """Where a cell's files are."""
    return results / "cells" / cell.slug


def grid_folders(grid: str, results: Path) -> tuple[str, list[Path]]:
    """Name of a grid and the folders of its cells, in the grid's order."""
    loaded = load_grid(grid)
    return loaded.name, [cell_folder(results, cell) for cell in loaded.cells]


def each_cell(
    work: list[tuple[Cell, Path]],
    one: Callable[[Cell, Path], str],
    report: Callable[[Cell, str], None],
) -> None:
    """Do one cell after another; what goes wrong in one does not stop the others.

    Raises:
        UserError: the problem, if there was but one cell.
        typer.Exit: code 75 if a signal ended the work, 2 if all problems were bad input, else 1.
    """
    console = Console(stderr=True, soft_wrap=True)
    codes = []
    for cell, folder in work:
        try:
            report(cell, one(cell, folder))
        except Stopped as stopped:
            report(cell, str(stopped))
            console.print("agc: stopped; run the same command again to go on", markup=False)
            raise typer.Exit(EXIT_CODE) from stopped
        except UserError as error:
            if len(work) == 1:
                raise
            console.print(f"agc: error: {cell.slug}: {error}", markup=False)
            codes.append(2)
        except Exception:
            console.print(f"agc: {cell.slug} failed:\n{traceback.format_exc()}", markup=False)
            codes.append(1)
    if codes:
        console.print(f"agc: {len(codes)} of {len(work)} cells failed", markup=False)
        raise typer.Exit(min(codes))


def wanted_epochs(text: str | None, cell: Cell) -> list[int]:
    """The epochs named, or first, middle and last.

    Raises:
        UserError: not numbers of epochs of the cell.
    """
    last = cell.training.epochs
    if text is None:
        return sorted({1, (last + 1) // 2, last})
    try:
        wanted = sorted({int(part) for part in text.split(",")})
    except ValueError:
        wanted = []
    if not wanted or wanted[0] < 1 or wanted[-1] > last:
        raise UserError(f"--epochs {text!r}: expected numbers from 1 to {last}, with commas")
    return wanted
