"""What cells will cost, and which of them share a process; known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from agc.cell import Cell
from agc.errors import UserError
from agc.files import read_json
from agc.grid import Grid
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES

PLAIN = 3
"""Units of a batch of plain training: one forward, one backward pass."""


def units_per_epoch(cell: Cell) -> float:
    """Declared cost of an epoch, in forward passes over the training images.

    A correction declares its cost for losses of one pass; where the objective's takes two (clean
    and adversarial images), so does each gradient of the correction.
    """
    objective = OBJECTIVES[cell.objective.name].target
    correction = CORRECTIONS[cell.correction.name].target
    prepare = objective.preparation(**cell.objective.options).units
    evaluate = objective.evaluation(**cell.objective.options).units
    extra = correction.cost(**cell.correction.options)
    sampled = METHODS[cell.method.name].target.step_units(**cell.method.options)
    passes = (extra.step + extra.snapshot + sampled) * evaluate / PLAIN
    return prepare + evaluate + passes + extra.prepared_pass * prepare


def units(cell: Cell) -> float:
    """Declared cost of the whole training."""
    return cell.training.epochs * units_per_epoch(cell)


def bundle(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Split cells into processes of about ``size`` cells and about equal cost.

    The most expensive cell goes to the cheapest bundle so far, and so on. The outcome depends on
    which cells there are alone, so that every process of a workflow sees the same bundles. Cells
    of a bundle have as many devices, so that none is taken in vain.
    """
    devices = sorted({cell.training.devices for cell in cells})
    groups = [[cell for cell in cells if cell.training.devices == number] for number in devices]
    return [cells for group in groups for cells in _balanced(group, size)]


def _balanced(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    count = math.ceil(len(cells) / size)
    bundles: list[list[Cell]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for cell in sorted(cells, key=lambda cell: (-units(cell), cell.slug)):
        lightest = loads.index(min(loads))
        bundles[lightest].append(cell)
        loads[lightest] += units(cell)
    return bundles


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
