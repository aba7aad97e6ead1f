"""What cells will cost; known before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

from agc.errors import UserError
from agc.files import read_json
from agc.grids.cell import Cell
from agc.grids.grid import Grid
from agc.planning.calibration import Calibration
from agc.planning.declared import units
from agc.planning.kinds import kind
from agc.planning.seconds import Cost, cost

Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Estimate:
    """Predicted cost of a grid, and where the prediction comes from.

    Attributes:
        units: forward passes over the training images.
        cpu_seconds: of one core or device; None where nothing is known.
        megabytes: of all files.
        source: what the prediction is made of.
        low: the low end of an interval of the seconds; None where only a reference is known.
        high: the high end.
        memory: megabytes of the process that takes most; None where nothing is calibrated.
        start: seconds that each process takes beside.
    """

    units: float
    cpu_seconds: float | None
    megabytes: float | None
    source: str
    low: float | None = None
    high: float | None = None
    memory: float | None = None
    start: float = 0.0


def estimate(grid: Grid, results: Path, calibration: Calibration | None = None) -> Estimate:
    """Predict from finished cells and from the calibration of this machine, else from the
    reference in the grid's file.
    """
    total = sum(units(cell) for cell in grid.cells)
    costs = predict(grid.cells, results, calibration)
    if len(costs) == len(grid.cells):
        known = list(costs.values())
        return Estimate(
            units=total,
            cpu_seconds=sum(one.seconds for one in known),
            megabytes=sum(one.disk for one in known) / 1e6,
            source=", ".join(sorted({one.source for one in known})),
            low=sum(one.low for one in known),
            high=sum(one.high for one in known),
            memory=max(one.memory for one in known) / 1e6,
            start=calibration.start if calibration is not None else 0.0,
        )
    finished = [found for cell in grid.cells if (found := _finished(results, cell)) is not None]
    if finished:
        rate = mean(one.seconds / one.units for one in finished)
        size = mean(one.size for one in finished)
        source = f"{len(finished)} finished cells here"
        return Estimate(total, total * rate, len(grid.cells) * size / 1e6, source)
    reference = grid.file.reference
    if reference is None:
        return Estimate(total, None, None, "no cell of this grid has been run here")
    seconds = total * reference.seconds_per_unit + len(grid.cells) * reference.seconds_per_cell
    megabytes = len(grid.cells) * reference.megabytes_per_cell
    return Estimate(total, seconds, megabytes, reference.machine)


def predict(
    cells: Iterable[Cell], results: Path, calibration: Calibration | None
) -> dict[str, Cost]:
    """What each cell will cost, by slug; cells whose kind is not calibrated are left out.

    Where cells of the same kind, method, correction and optimizer have finished here, the time of
    a cell is scaled by what they took, relative to what the calibration says of them.

    Args:
        cells: any.
        results: folder of the results, where cells may have finished.
        calibration: of the machine.
    """
    if calibration is None:
        return {}
    source = f"calibrated here: {calibration.name}"
    costs: dict[str, Cost] = {}
    rows: dict[str, Row] = {}
    ratios: dict[Row, list[float]] = defaultdict(list)
    for cell in cells:
        timing = calibration.timings.get(kind(cell))
        if timing is None:
            continue
        known = costs[cell.slug] = cost(cell, timing, source)
        optimizer = cell.training.optimizer.name
        rows[cell.slug] = (kind(cell), cell.method.name, cell.correction.name, optimizer)
        found = _finished(results, cell)
        if found is not None:
            ratios[rows[cell.slug]].append(found.trained / (known.train + known.evaluation))
    return {
        slug: _scaled(known, ratios[rows[slug]]) if rows[slug] in ratios else known
        for slug, known in costs.items()
    }


def _scaled(known: Cost, ratios: list[float]) -> Cost:
    """A cost scaled by what training cells of the same row took, relative to the calibration."""
    middle = median(ratios)
    parts = {name: getattr(known, name) * middle for name in ("train", "evaluation", "attacks")}
    scaled = replace(known, **parts, source=f"{known.source}, and finished cells")
    ends = {
        "low": min(known.low * middle, known.seconds * min(ratios)),
        "high": max(known.high * middle, known.seconds * max(ratios)),
    }
    return replace(scaled, **ends)


@dataclass(frozen=True)
class _Finished:
    """What a finished cell took.

    Attributes:
        seconds: all but waiting included, and the imports of a process' first cell.
        trained: of these, those of training and of measuring after epochs.
        units: counted.
        size: bytes of its files.
    """

    seconds: float
    trained: float
    units: float
    size: int


def _finished(results: Path, cell: Cell) -> _Finished | None:
    """What a cell took; None if it has not finished."""
    folder = results / "cells" / cell.slug
    try:
        record = read_json(folder / "record.json")
        seconds, spent = record["seconds"], float(record["costs"]["units"])
        total, trained = float(seconds["total"]), seconds["train"] + seconds["evaluation"]
        whole = record["status"] == "finished"
    except (UserError, KeyError, TypeError, ValueError):
        return None
    if not (whole and spent and trained):
        return None
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return _Finished(total, trained, spent, size)
