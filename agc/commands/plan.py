"""``agc plan``: the cells of a grid, what is left out and why, and what it will cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agc.commands.common import Results, cell_folder, make_console
from agc.commands.extend import extend_grid
from agc.commands.working import Working
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.grid import Grid, load_grid
from agc.planning.compatibility import refusals
from agc.planning.declared import units_per_epoch
from agc.planning.prediction import estimate
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
) -> None:
    """Show what a grid will run: cells, skips with reasons, predicted time and disk."""
    if extend and (as_json or every or why_not):
        raise UserError("--extend shows a table of its own: leave out --json, --cells, --why-not")
    if source is not None and not (extend and len(grids) == 1):
        raise UserError("--from goes with --extend and one grid")
    if why_not:
        for name in grids:
            _show_refusals(name, make_console())
        return
    with Working("", text="the grid is laid out"):
        loaded = [load_grid(name) for name in grids]
        if write and not extend:
            _write([cell for grid in loaded for cell in grid.cells], results)
    if extend:
        for grid in loaded:
            extend_grid(grid, source, results, write, make_console())
        return
    if as_json:
        cells = {cell.slug: cell.model_dump(mode="json") for g in loaded for cell in g.cells}
        json.dump(cells, sys.stdout, indent=1)
        return
    console = make_console()
    for grid in loaded:
        _show(grid, results, console, every)


def _write(cells: list[Cell], results: Path) -> None:
    for cell in cells:
        try:
            cell.write(cell_folder(results, cell))
        except OSError as error:
            raise UserError(f"cannot write {results}: {error.strerror}") from error


def _show(grid: Grid, results: Path, console: Console, every: bool) -> None:
    console.print(f"[bold]{grid.name}[/]: {grid.file.description}")
    if every:
        for cell in grid.cells:
            console.print(f"  {cell.slug}", highlight=False)
    else:
        console.print(_rows(grid))
    for skip in grid.skips:
        console.print(f"left out: {skip.count} of {skip.what} ({skip.reason})", highlight=False)
    done = sum((cell_folder(results, cell) / "record.json").exists() for cell in grid.cells)
    predicted = estimate(grid, results)
    if predicted.cpu_seconds is None:
        cost = f"time and disk unknown: {predicted.source}"
    else:
        cost = (
            f"about {predicted.cpu_seconds / 60:.1f} minutes of one core or device and "
            f"{predicted.megabytes:.0f} MB in all (from: {predicted.source})"
        )
    console.print(
        f"{len(grid.cells)} cells, {done} finished; {predicted.units:.0f} units; {cost}",
        highlight=False,
    )


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


def _rows(grid: Grid) -> Table:
    """Cells that differ in their seed alone, in one row; options are named where they differ."""
    labels = label_cells([cell.model_dump(mode="json") for cell in grid.cells])
    names = axis_columns(labels[0])
    names += ["family"] if any(label["family"] for label in labels) else []
    table = Table(show_edge=False)
    titles = ["settings" if name == "family" else name for name in names]
    for name in (*titles, "sparsity", "epochs", "units/epoch", "seeds"):
        table.add_column(name)
    rows: dict[tuple[str, ...], list[int]] = {}
    for cell, label in zip(grid.cells, labels, strict=True):
        cost = f"{units_per_epoch(cell):g}"
        shown = [label[name] for name in names]
        key = (*shown, f"{cell.sparsity:g}", str(cell.training.epochs), cost)
        rows.setdefault(key, []).append(cell.seed)
    for key, seeds in rows.items():
        table.add_row(*key, ", ".join(map(str, seeds)))
    return table
