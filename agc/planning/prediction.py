"""What cells will cost, and which of them share a process; known before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from agc.errors import UserError
from agc.files import read_json
from agc.grids.grid import Grid
from agc.planning.declared import units


@dataclass(frozen=True)
class Estimate:
    """Predicted cost of a grid, and where the prediction comes from."""

    units: float
    cpu_seconds: float | None
    megabytes: float | None
    source: str


def estimate(grid: Grid, results: Path) -> Estimate:
    """Predict from finished cells of this grid, else from the reference in the grid's file."""
    total = sum(units(cell) for cell in grid.cells)
    seconds_per_unit, sizes = [], []
    for cell in grid.cells:
        folder = results / "cells" / cell.slug
        measured = _measured(folder)
        if measured is not None:
            seconds_per_unit.append(measured)
            sizes.append(sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) / 1e6)
    if sizes:
        count = len(grid.cells)
        source = f"{len(sizes)} finished cells here"
        return Estimate(total, total * mean(seconds_per_unit), count * mean(sizes), source)
    reference = grid.file.reference
    if reference is None:
        return Estimate(total, None, None, "no cell of this grid has been run here")
    seconds = total * reference.seconds_per_unit + len(grid.cells) * reference.seconds_per_cell
    megabytes = len(grid.cells) * reference.megabytes_per_cell
    return Estimate(total, seconds, megabytes, reference.machine)


def _measured(folder: Path) -> float | None:
    """Seconds per unit of a finished cell, everything but waiting included."""
    try:
        record = read_json(folder / "record.json")
        return record["seconds"]["total"] / record["costs"]["units"]
    except (UserError, KeyError, TypeError, ZeroDivisionError):
        return None
