"""``agc predict``: when a fine-tuning will be good, before it is run."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agc.commands.common import Results, Threads, cell_folder, locate_cell, make_console
from agc.dynamics.kept import IMAGES, PATHS, SIZE, Forecast, Settings
from agc.dynamics.steps import TARGETS, steps_to
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.grid import load_grid

Target = Annotated[
    list[float] | None,
    typer.Option(
        "--target-loss",
        metavar="LOSS",
        help="Training loss to reach; may be repeated. Left out: 0.5, 0.3 and 0.15 of the first "
        "loss.",
    ),
]


def predict(
    what: Annotated[
        list[str],
        typer.Argument(metavar="CELL|GRID...", help="Cells: folders or cell.json files; grids."),
    ],
    target_loss: Target = None,
    results: Results = Path("results"),
    images: Annotated[
        int, typer.Option(min=1, help="Training images that stand for all.")
    ] = IMAGES,
    sketch: Annotated[
        int, typer.Option(min=1, help="Numbers that the weights are projected to at random.")
    ] = SIZE,
    paths: Annotated[int, typer.Option(min=1, help="Courses that are drawn.")] = PATHS,
    anew: Annotated[
        bool, typer.Option("--anew", help="Predict what has been predicted, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = 1,
) -> None:
    """Predict the steps to a training loss of cells that start from given weights.

    The network is linearised at these weights, and SGD is run on the linear one: its noise as a
    stochastic differential equation, its derivatives projected at random. What is outside its
    domain, such as a training from scratch, gets the reason and no number. Each cell's course is
    kept in its folder as prediction.json, and `agc compare` sets it beside what was measured.
    """
    if target_loss is not None and min(target_loss) <= 0:
        raise UserError(f"--target-loss {min(target_loss):g}: a loss above 0")
    settings = Settings(images, sketch, paths)
    found: list[tuple[Cell, Forecast]] = []
    for folder, cells in _gather(what, results).items():
        from agc.machine.device import prepare_machine
        from agc.runs.forecast import forecast_cells

        prepare_machine("cpu", threads)
        found += forecast_cells(cells, folder, settings, anew)
    if as_json:
        json.dump([_plain(forecast) for _, forecast in found], sys.stdout, indent=1)
        return
    _show(found, target_loss, make_console())


def _gather(what: list[str], results: Path) -> dict[Path, list[Cell]]:
    """The cells that are meant, by the folder that their folders are in."""
    found: dict[Path, list[Cell]] = {}
    for name in what:
        path = Path(name)
        if path.is_dir() or path.suffix == ".json":
            cell, folder = locate_cell(path, results)
            found.setdefault(folder.parent, []).append(cell)
        else:
            cells = load_grid(name).cells
            for cell in cells:
                cell.write(cell_folder(results, cell))
            found.setdefault(results / "cells", []).extend(cells)
    return found


def _plain(forecast: Forecast) -> dict[str, object]:
    content = asdict(forecast)
    return {**content, "initial": None if forecast.refused else forecast.initial}


def _show(
    found: list[tuple[Cell, Forecast]], targets: list[float] | None, console: Console
) -> None:
    """Steps to each target, then why cells have none."""
    table = Table(show_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("first loss", *_headings(targets), "of", "seconds"):
        table.add_column(heading, justify="right")
    for cell, forecast in found:
        if forecast.refused:
            continue
        wanted = targets or [share * forecast.initial for share in TARGETS]
        steps = [reached(forecast, target) for target in wanted]
        total = cell.training.epochs * forecast.steps_per_epoch
        spent = f"{forecast.seconds:.1f}"
        table.add_row(cell.slug, f"{forecast.initial:.3f}", *steps, str(total), spent)
    if table.row_count:
        console.print(table)
    for cell, forecast in found:
        if forecast.refused:
            line = f"not predicted: {cell.slug}: {forecast.refused}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        for remark in forecast.remarks:
            console.print(f"{cell.slug}: {remark}", highlight=False, markup=False, soft_wrap=True)


def _headings(targets: list[float] | None) -> list[str]:
    if targets is None:
        return [f"steps to {share:g} of it" for share in TARGETS]
    return [f"steps to {target:g}" for target in targets]


def reached(forecast: Forecast, target: float) -> str:
    """Steps to a target, with those of the slowest and of the fastest course; or that it is not
    reached.
    """
    courses = (forecast.low, forecast.losses, forecast.high)
    fast, middle, slow = (
        steps_to(target, forecast.initial, losses, forecast.steps_per_epoch) for losses in courses
    )
    if middle is None:
        return "never"
    ends = f"{fast:.0f} to {'never' if slow is None else f'{slow:.0f}'}"
    return f"{middle:.0f} ({ends})"
