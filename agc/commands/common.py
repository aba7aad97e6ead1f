"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agc.cell import Cell
from agc.grid import load_grid

Results = Annotated[
    Path,
    typer.Option("--results", help="Folder of the results.", envvar="AGC_RESULTS"),
]
GridName = Annotated[
    str, typer.Argument(metavar="GRID", help="A grid of workflows/grids, or a YAML file's path.")
]
Device = Annotated[
    str,
    typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...", envvar="AGC_DEVICE"),
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
