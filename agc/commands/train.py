"""``agc train``: many cells in one process, one after another."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agc.commands.common import Device, Results, Threads, cell_folder, each_cell, wanted_epochs
from agc.commands.progress import Progress
from agc.errors import UserError
from agc.grids.cell import Cell, read_cell
from agc.grids.options import cell_from_options
from agc.machine.stop import GRACE, Stopped, StopRequest
from agc.processes.torchrun import Torchrun
from agc.records.done import is_trained
from agc.reports.figures.diagnostics import write_diagnostics

if TYPE_CHECKING:
    from agc.machine.device import Machine
    from agc.tracking.live import Live

Cells = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[CELL]...", help="Cells: their folders, or cell.json files."),
]


def train(
    cells: Cells = None,
    dataset: Annotated[str | None, typer.Option(help="Data set.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Any timm network, or ours.")] = None,
    method: Annotated[str, typer.Option(help="Sparse-training method.")] = "dense",
    sparsity: Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1).")] = 0.0,
    correction: Annotated[str, typer.Option(help="Gradient correction.")] = "none",
    objective: Annotated[str, typer.Option(help="Objective.")] = "standard",
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Recipe by name or a YAML file's path, or none for the defaults; left out: the "
            "recipe of the data set's name, which there must be.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any field, e.g. training.optimizer.lr=0.2 or correction.options.gamma=1.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the one cell given by options.")
    ] = None,
    results: Results = Path("results"),
    device: Device = "auto",
    threads: Threads = 1,
    checkpoint_interval: Annotated[
        float,
        typer.Option(
            envvar="AGC_CHECKPOINT_INTERVAL",
            help="Seconds between checkpoints; 0: after each epoch.",
        ),
    ] = 30.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds that the running epoch may take after SIGTERM or SIGUSR1."
        ),
    ] = GRACE,
    fast: Annotated[
        bool, typer.Option("--fast", help="Allow algorithms that are not deterministic.")
    ] = False,
    diagnose: Annotated[
        str | None,
        typer.Option(
            metavar="1,4,8",
            help="Measure gradients in these epochs, or in `all`: diagnostics.csv and a figure.",
        ),
    ] = None,
    live: Annotated[
        str | None,
        typer.Option(
            metavar="GRID", help="Show epochs in MLflow as they end, in GRID's experiment."
        ),
    ] = None,
) -> None:
    """Train cells; finished ones are skipped, killed ones go on from their checkpoint.

    Give cells that `agc plan --write` made, or one cell by its fields:

    agc train --dataset digits --architecture resnet8 --method rigl --sparsity 0.95
    --correction agc --seed 0 --out DIR

    SIGTERM and SIGUSR1 (Slurm's warning: --signal=USR1@60) end it politely: after the running
    epoch there is a checkpoint, and the exit code is 75, "try again". An epoch that does not end
    within --grace seconds is given up; the checkpoint of before is left.

    A cell with training.devices above 1 is trained by as many processes, one a device. This
    command starts the others; or torchrun starts all: torchrun --nproc-per-node 2 -m agc train DIR
    """
    if cells:
        work = [_located(path, results) for path in cells]
    else:
        if dataset is None or architecture is None:
            raise UserError("give cells, or at least --dataset and --architecture")
        fields = {
            "dataset": dataset,
            "architecture": architecture,
            "method": method,
            "sparsity": sparsity,
            "correction": correction,
            "objective": objective,
            "seed": seed,
        }
        cell = cell_from_options(fields, recipe, epochs, set_ or [])
        work = [(cell, out or cell_folder(results, cell))]

    devices = max(cell.training.devices for cell, _ in work)
    if diagnose is not None and devices > 1:
        raise UserError("--diagnose measures one device's gradients, but a cell has several")
    ranks = Torchrun.here()
    ranks.allow(len(work))

    @cache
    def machine() -> Machine:
        from agc.machine.device import prepare_machine

        return prepare_machine(device, threads, fast, devices)

    with (
        StopRequest(grace) as stop,
        Progress([cell for cell, _ in work], hidden=ranks.rank > 0) as progress,
        _live_view(live if ranks.rank == 0 else None, results) as view,
    ):

        def on_epoch(row: dict[str, Any]) -> None:
            progress.epoch(row)
            if view is not None:
                view.epoch(row)

        def one(cell: Cell, folder: Path) -> str:
            if is_trained(folder, cell.slug):
                return "trained already, skipped"
            if stop.asked:
                raise Stopped(f"stopped by {stop.signal} before it began")
            from agc.runs.launch import Work, make_team
            from agc.runs.train import CellRun

            watch = [] if diagnose is None else _watched_epochs(diagnose, cell)
            told = Work(cell, folder, machine(), checkpoint_interval)
            run = CellRun(
                **vars(told), on_epoch=on_epoch, watch=watch, stop=stop, team=make_team(told)
            )
            if view is not None:
                view.cell(folder)
            outcome = run.train()
            if run.measured:
                write_diagnostics(cell, run.measured, folder / "diagnostics")
            return outcome

        each_cell(work, one, progress.cell)


def _live_view(experiment: str | None, results: Path) -> AbstractContextManager[Live | None]:
    if experiment is None:
        return nullcontext()
    from agc.tracking import default_uri
    from agc.tracking.live import Live

    return Live(experiment, default_uri(results), results / "mlartifacts")


def _watched_epochs(text: str, cell: Cell) -> list[int]:
    return list(range(1, cell.training.epochs + 1)) if text == "all" else wanted_epochs(text, cell)


def _located(path: Path, results: Path) -> tuple[Cell, Path]:
    """A cell and its folder: the one that ``cell.json`` is in, or the usual one of the results."""
    if path.is_dir():
        return read_cell(path / "cell.json"), path
    cell = read_cell(path)
    return cell, path.parent if path.name == "cell.json" else cell_folder(results, cell)
