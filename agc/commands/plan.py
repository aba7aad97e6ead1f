"""``agc plan``: the cells of a grid, what is left out and why, and what it will cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from agc.commands.calibrate import calibrated
from agc.commands.common import Device, Results, Threads, cell_folder, make_console
from agc.commands.extend import extend_grid
from agc.commands.reach import foresee, of_row, propose, show_unknown
from agc.commands.working import Working
from agc.dynamics.kept import Forecast
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.grid import Grid, load_grid
from agc.machine.provenance import now
from agc.planning.calibration import Calibration
from agc.planning.compatibility import refusals
from agc.planning.declared import units_per_epoch
from agc.planning.planned import write_plan
from agc.planning.prediction import Estimate, estimate, predict
from agc.reports.labels import axis_columns, label_cells


def plan(
    grids: Annotated[
        list[str], typer.Argument(metavar="GRID...", help="Grids by name, or YAML files.")
    ],
    results: Results = Path("results"),
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Write each cell's cell.json into the results; with --extend, add the seeds.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cells as JSON.")] = False,
    every: Annotated[bool, typer.Option("--cells", help="List every cell by its slug.")] = False,
    why_not: Annotated[
        bool,
        typer.Option(
            "--why-not", help="Show which entries of the axes make no cell together, and why."
        ),
    ] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend",
            help="Show which rows need more seeds to be as precise as the grid's file asks, "
            "whatever their effect. With --write they are in the grid from then on "
            "(GRID.seeds.json beside its file).",
        ),
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="With --extend: read records.parquet and epochs.parquet of this folder."
        ),
    ] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            envvar="AGC_CALIBRATE",
            help="Time a step of every kind of cells on this machine anew, or of none; left out: "
            "of those that have not been timed here.",
        ),
    ] = None,
    target_loss: Annotated[
        float | None,
        typer.Option(
            metavar="LOSS",
            help="Predict the steps to this training loss of cells that start from given weights, "
            "as a column; others get the reason why not.",
        ),
    ] = None,
    prune_slow: Annotated[
        bool,
        typer.Option(
            "--prune-slow",
            help="With --target-loss: list the cells that are predicted to miss it, and how to "
            "leave them out.",
        ),
    ] = False,
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Show what a grid will run: cells, skips with reasons, predicted time, memory and disk.

    The first plan on a machine times a step of each kind of cells (architecture, data set,
    objective, precision) for a few seconds, and keeps that for later plans.
    """
    if extend and (as_json or every or why_not):
        raise UserError("--extend shows a table of its own: leave out --json, --cells, --why-not")
    if source is not None and not (extend and len(grids) == 1):
        raise UserError("--from goes with --extend and one grid")
    if prune_slow and target_loss is None:
        raise UserError("--prune-slow asks which cells miss a loss: name it by --target-loss")
    if target_loss is not None and target_loss <= 0:
        raise UserError(f"--target-loss {target_loss:g}: a loss above 0")
    if target_loss is not None and (as_json or every or extend or why_not):
        raise UserError(
            "--target-loss is a column of the plan's table: leave out --json, --cells, --extend, "
            "--why-not"
        )
    if why_not:
        for name in grids:
            _show_refusals(name, make_console())
        return
    with Working("", text="the grid is laid out"):
        loaded = [load_grid(name) for name in grids]
    if extend:
        for grid in loaded:
            extend_grid(grid, source, results, write, make_console())
        return
    cells = [cell for grid in loaded for cell in grid.cells]
    timed: Calibration | None = None
    if write or not as_json:
        timed = calibrated(cells, calibrate, device, threads)
    if write:
        with Working("", text="the cells are written"):
            _write(cells, results, timed)
    if as_json:
        described = {cell.slug: cell.model_dump(mode="json") for cell in cells}
        json.dump(described, sys.stdout, indent=1)
        return
    console = make_console()
    for grid in loaded:
        foreseen = None
        if target_loss is not None:
            foreseen = Foreseen(target_loss, foresee(grid.cells, results, threads))
        _show(grid, results, console, every, timed, foreseen)
        if foreseen is not None and prune_slow:
            propose(grid, foreseen.forecasts, foreseen.target, console)


def _write(cells: list[Cell], results: Path, timed: Calibration | None) -> None:
    """Each cell's description, and what is predicted of it where that is known."""
    costs = predict(cells, results, timed)
    for cell in cells:
        folder = cell_folder(results, cell)
        try:
            cell.write(folder)
            if timed is not None and cell.slug in costs:
                write_plan(folder, cell, costs[cell.slug], timed.start, now())
        except OSError as error:
            raise UserError(f"cannot write {results}: {error.strerror}") from error


class Foreseen(NamedTuple):
    """A target loss, and what is predicted of each cell, by slug."""

    target: float
    forecasts: dict[str, Forecast]


def _show(
    grid: Grid,
    results: Path,
    console: Console,
    every: bool,
    timed: Calibration | None,
    foreseen: Foreseen | None = None,
) -> None:
    console.print(f"[bold]{grid.name}[/]: {grid.file.description}")
    if every:
        for cell in grid.cells:
            console.print(f"  {cell.slug}", highlight=False)
    else:
        console.print(_rows(grid, foreseen))
    if foreseen is not None:
        show_unknown(foreseen.forecasts, console)
    for skip in grid.skips:
        console.print(f"left out: {skip.count} of {skip.what} ({skip.reason})", highlight=False)
    done = sum((cell_folder(results, cell) / "record.json").exists() for cell in grid.cells)
    predicted = estimate(grid, results, timed)
    console.print(
        f"{len(grid.cells)} cells, {done} finished; {predicted.units:.0f} units; "
        f"{_cost(predicted)}",
        highlight=False,
    )


def _cost(predicted: Estimate) -> str:
    """Time, memory and disk in words."""
    if predicted.cpu_seconds is None:
        return f"time and disk unknown: {predicted.source}"
    time = f"about {predicted.cpu_seconds / 60:.1f} minutes"
    if predicted.low is not None and predicted.high is not None:
        time += f" ({predicted.low / 60:.1f} to {predicted.high / 60:.1f})"
    time += " of one core or device"
    if predicted.start:
        time += f", {predicted.start:.0f} s more for each process"
    memory = "" if predicted.memory is None else f"{predicted.memory:.0f} MB of memory, "
    return f"{time}, {memory}{predicted.megabytes:.0f} MB of disk (from: {predicted.source})"


def _show_refusals(grid: str, console: Console) -> None:
    """A table on a terminal, elsewhere a line each."""
    found = refusals(grid)
    title = f"{grid}: refused under its recipe, all else plain"
    if console.is_terminal:
        table = Table(title=title, title_justify="left", title_style="bold", show_lines=True)
        for column in ("entry", "with", "why not"):
            table.add_column(column)
        for refusal in found:
            table.add_row(refusal.entry, refusal.with_what, refusal.reason)
        console.print(table)
    else:
        console.print(title, soft_wrap=True)
        for refusal in found:
            line = f"{refusal.entry} with {refusal.with_what}: {refusal.reason}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print("Any other two entries make a cell.")


def _rows(grid: Grid, foreseen: Foreseen | None = None) -> Table:
    """Cells that differ in their seed alone, in one row; options are named where they differ."""
    labels = label_cells([cell.model_dump(mode="json") for cell in grid.cells])
    names = axis_columns(labels[0])
    names += ["family"] if any(label["family"] for label in labels) else []
    table = Table(show_edge=False)
    titles = ["settings" if name == "family" else name for name in names]
    more = [] if foreseen is None else [f"steps to {foreseen.target:g}"]
    for name in (*titles, "sparsity", "epochs", "units/epoch", *more, "seeds"):
        table.add_column(name)
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell, label in zip(grid.cells, labels, strict=True):
        cost = f"{units_per_epoch(cell):g}"
        shown = [label[name] for name in names]
        key = (*shown, f"{cell.sparsity:g}", str(cell.training.epochs), cost)
        rows.setdefault(key, []).append(cell)
    for key, cells in rows.items():
        known = [] if foreseen is None else [of_row(cells, foreseen.forecasts, foreseen.target)]
        table.add_row(*key, *known, ", ".join(str(cell.seed) for cell in cells))
    return table
