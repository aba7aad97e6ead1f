"""What ``agc plan`` says of a target loss: steps to it by row, and cells that will not reach it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.console import Console

from agc.dynamics.kept import Forecast
from agc.dynamics.steps import steps_to
from agc.grids.axes import AXES
from agc.grids.cell import Cell
from agc.grids.grid import Grid
from agc.grids.matching import matches

NEVER = "never"
UNKNOWN = "–"


def foresee(cells: Iterable[Cell], results: Path, threads: int) -> dict[str, Forecast]:
    """The forecast of each cell, by slug; kept in the folders of those that are written."""
    from agc.machine.device import prepare_machine
    from agc.runs.forecast import forecast_cells

    prepare_machine("cpu", threads)
    found = forecast_cells(cells, results / "cells")
    return {cell.slug: forecast for cell, forecast in found}


def steps(forecast: Forecast, target: float) -> float | None:
    """Steps to the target; None if it is not reached within the training."""
    return steps_to(target, forecast.initial, forecast.losses, forecast.steps_per_epoch)


def of_row(cells: list[Cell], forecasts: dict[str, Forecast], target: float) -> str:
    """What stands in a row of several seeds: the median of steps, and of how many it is."""
    known = [forecasts[cell.slug] for cell in cells if not forecasts[cell.slug].refused]
    if not known:
        return UNKNOWN
    reached = [found for one in known if (found := steps(one, target)) is not None]
    if not reached:
        return NEVER
    of = "" if len(reached) == len(cells) else f" ({len(reached)} of {len(cells)})"
    return f"{median(reached):.0f}{of}"


def show_unknown(forecasts: dict[str, Forecast], console: Console) -> None:
    """Why cells have no prediction, and how many."""
    reasons: dict[str, int] = {}
    for forecast in forecasts.values():
        if forecast.refused:
            reasons[forecast.refused] = reasons.get(forecast.refused, 0) + 1
    for reason, count in sorted(reasons.items()):
        line = f"not predicted: {count} cells: {reason}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def propose(
    grid: Grid, forecasts: dict[str, Forecast], target: float, console: Console
) -> list[Cell]:
    """List the cells whose prediction does not reach the target within their training, each with
    its reason, and the lines that leave them out of the grid's file. Nothing is left out by this.

    Returns:
        These cells.
    """
    slow = [
        cell
        for cell in grid.cells
        if not forecasts[cell.slug].refused and steps(forecasts[cell.slug], target) is None
    ]
    if not slow:
        console.print(f"no cell is predicted to miss a loss of {target:g}", highlight=False)
        return []
    console.print(f"{len(slow)} of {len(grid.cells)} cells may be left out:", highlight=False)
    for cell in slow:
        forecast = forecasts[cell.slug]
        budget = cell.training.epochs * forecast.steps_per_epoch
        line = f"  {cell.slug}: at {min(forecast.losses):.3g} at the least within {budget} steps"
        console.print(f"{line}, not {target:g}", highlight=False, markup=False, soft_wrap=True)
    sparse = sum(cell.sparsity > 0 for cell in slow)
    if sparse:
        line = f"{sparse} of them are sparse, and such networks may learn far faster than predicted"
        console.print(line, highlight=False, soft_wrap=True)
    lines = _exclusions(grid, slow, f"predicted to miss a loss of {target:g}")
    if lines:
        console.print(f"to leave them out, in {grid.path}:", highlight=False, soft_wrap=True)
        for line in lines:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    return slow


def _exclusions(grid: Grid, slow: list[Cell], reason: str) -> list[str]:
    """Lines of ``exclude`` that match no other cell of the grid; empty if none can."""
    slugs = {cell.slug for cell in slow}
    wanted: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for cell in slow:
        where = _where(cell)
        wanted.setdefault(yaml.safe_dump(where), (where, []))[1].append(cell.seed)
    found = []
    for where, seeds in wanted.values():
        whole = {**where, "seed": sorted(seeds)}
        if {c.slug for c in grid.cells if matches(c, whole, "exclude")} <= slugs:
            entry = {"where": whole, "reason": reason}
            text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=10_000)
            found.append(f"- {text.strip()}")
    return ["exclude:", *found] if found else []


def _where(cell: Cell) -> dict[str, Any]:
    """All that ``exclude`` may look at of a cell, but for its seed."""
    where: dict[str, Any] = {"sparsity": cell.sparsity}
    for name, axis in AXES.items():
        chosen = axis.of(cell)
        if chosen.name == axis.default and axis.since and name != "optimizer":
            continue
        where[name] = {"name": chosen.name, **chosen.options} if chosen.options else chosen.name
    rate = cell.training.optimizer.lr
    where["optimizer"] = {"name": cell.training.optimizer.name, "lr": rate}
    return where
