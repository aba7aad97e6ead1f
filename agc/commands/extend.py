"""``agc plan --extend``: which rows need more seeds, by the rule that the grid's file has."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agc.commands.common import elsewhere
from agc.errors import UserError
from agc.grids.grid import Grid
from agc.grids.seeds import seeds_path, write_added
from agc.places import known_files
from agc.planning.declared import units
from agc.planning.prediction import estimate
from agc.reports.labels import axis_columns, label_cells
from agc.reports.precision import MORE, WAITING, RowPrecision, judge_precision
from agc.reports.study import read_study

SEEDS_FOR = "precision: {half_width: POINTS, block: SEEDS, cap: SEEDS}"


def extend_grid(
    grid: Grid, source: Path | None, results: Path, write: bool, console: Console
) -> None:
    """Show what the rule says of each row, and write the seeds that it adds if ``write``.

    Args:
        grid: with the seeds that were added before.
        source: folder of its collected records; None: that of the results.
        results: where finished cells tell how long a unit takes.
        write: add the seeds to the file beside the grid's.
        console: where the table goes.

    Raises:
        UserError: the grid has no rule, there are no records, or the file cannot be written.
    """
    if grid.members:
        raise UserError(
            f"{grid.path}: a joint grid has no rule for more seeds; its grids may have one: "
            f"{', '.join(grid.members)}"
        )
    rule = grid.file.precision
    if rule is None:
        raise UserError(
            f"{grid.path}: it has no rule for more seeds; fix one before you look at results: "
            f"{SEEDS_FOR}"
        )
    made_by = "" if source else f"agc collect {_given(grid)}{elsewhere(results=results)}"
    records, _ = read_study(source or results / grid.name, made_by)
    rows = judge_precision(records, grid.cells, rule, bool(grid.rates_by_arm))
    if not rows:
        raise UserError(f"{grid.path}: no row has a correction, so there is nothing to compare")
    console.print(f"[bold]{grid.name}[/]: {rule.rule}", soft_wrap=True, highlight=False)
    console.print(_table(grid, rows))
    more = {row.name: list(row.added) for row in rows if row.state == MORE}
    waiting = [row for row in rows if row.state == WAITING]
    if waiting:
        lacking = sum(row.missing for row in waiting)
        text = f"{len(waiting)} rows wait for {lacking} cells that are not finished or collected"
        console.print(f"{text}: `{_train(grid, results)}`", soft_wrap=True, highlight=False)
    if not more:
        console.print("no row gets more seeds now", highlight=False)
        return
    console.print(_cost(grid, rows, results), highlight=False, soft_wrap=True)
    if write:
        path = write_added(grid.path, rule, more)
        text = f"{path} has them: commit it, and run `{_train(grid, results)}`"
        console.print(text, highlight=False, soft_wrap=True)
    else:
        console.print(f"--write puts them into {seeds_path(grid.path)}", highlight=False)


def _cost(grid: Grid, rows: list[RowPrecision], results: Path) -> str:
    """What the added seeds will cost, in all."""
    cells = sum(len(row.added) * len(row.arms) for row in rows)
    total = sum(map(_units, rows))
    predicted = estimate(grid, results)
    text = f"more seeds for {sum(row.state == MORE for row in rows)} rows: {cells} cells, "
    text += f"{total:.0f} units"
    if predicted.cpu_seconds is None:
        return text
    minutes = predicted.cpu_seconds / 60 * total / predicted.units
    return f"{text}, about {minutes:.1f} minutes of one core or device (from: {predicted.source})"


def _units(row: RowPrecision) -> float:
    """Declared cost of the seeds that a row gets."""
    return len(row.added) * sum(units(arm) for arm in row.arms)


def _table(grid: Grid, rows: list[RowPrecision]) -> Table:
    labels = label_cells([cell.model_dump(mode="json") for cell in grid.cells])
    by_slug = {cell.slug: label for cell, label in zip(grid.cells, labels, strict=True)}
    axes = [name for name in axis_columns(labels[0]) if name != "correction"]
    # What all rows share goes without saying, or the table gets too wide.
    varied = [n for n in (*axes, "family") if len({label[n] for label in labels}) > 1]
    names = varied or ["method"]
    table = Table(show_edge=False)
    titles = ["settings" if name == "family" else name for name in names]
    for title in (*titles, "sparsity", "seeds", "half-width", "target", "df", "of", "verdict"):
        table.add_column(title)
    table.add_column("units")
    for row in rows:
        label = by_slug[row.arms[0].slug]
        shown = [label[name] for name in names]
        table.add_row(
            *shown, f"{row.arms[0].sparsity:g}", str(row.seeds), *_widest(row), *_verdict(row)
        )
    return table


def _widest(row: RowPrecision) -> list[str]:
    """The comparison that decides: half-width and target in points, df, and what it is of."""
    found = row.widest
    if found is None:
        return ["–"] * 4
    half = "–" if np.isnan(found.half_width) else f"{found.half_width:.2f}"
    what = f"{found.correction}, {found.measure}"
    what += "" if found.budget == "epochs" else ", equal units"
    return [half, f"{found.target:g}", f"{found.df:g}", what]


def _verdict(row: RowPrecision) -> list[str]:
    """The rule's verdict, and units of what it adds."""
    if row.state == MORE:
        return [f"+{len(row.added)} seeds", f"{_units(row):.0f}"]
    state = f"{row.state} for {row.missing}" if row.state == WAITING else row.state
    return [state, "–"]


def _train(grid: Grid, results: Path) -> str:
    """The command that trains what a grid lacks."""
    place = "" if results == Path("results") else f" results={shlex.quote(str(results))}"
    return f"snakemake --cores 2 --config grid={_given(grid)}{place}"


def _given(grid: Grid) -> str:
    """What commands take for a grid: its name where that is known, or its file."""
    return grid.name if grid.name in known_files("grids") else shlex.quote(str(grid.path))
