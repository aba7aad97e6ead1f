"""``agc train``: many cells in one process, one after another."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agc.commands.common import (
    Device,
    Results,
    Threads,
    axis_options,
    cell_folder,
    each_cell,
    locate_cell,
    parse_settings,
    wanted_epochs,
)
from agc.commands.progress import Progress
from agc.errors import UserError
from agc.grids.cell import Cell
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
Sparsity = Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1).")]
Seed = Annotated[int, typer.Option(help="Seed.")]
RecipeName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Recipe by name or a YAML file's path, or none for the defaults; left out: the "
        "recipe of the data set's name, which there must be.",
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Epochs, instead of the recipe's.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any field, e.g. training.optimizer.lr=0.2 or correction.options.gamma=1.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the one cell given by options.")]
CheckpointInterval = Annotated[
    float,
    typer.Option(
        envvar="AGC_CHECKPOINT_INTERVAL", help="Seconds between checkpoints; 0: after each epoch."
    ),
]
Grace = Annotated[
    float,
    typer.Option(min=0, help="Seconds that the running epoch may take after SIGTERM or SIGUSR1."),
]
Fast = Annotated[bool, typer.Option("--fast", help="Allow algorithms that are not deterministic.")]
Eager = Annotated[
    bool,
    typer.Option(
        "--eager",
        envvar="AGC_EAGER",
        help="Launch each kernel of a CUDA device by itself: no CUDA graphs, the same results.",
    ),
]
Diagnose = Annotated[
    str | None,
    typer.Option(
        metavar="1,4,8",
        help="Measure gradients in these epochs, or in `all`: diagnostics.csv and a figure.",
    ),
]
LiveGrid = Annotated[
    str | None,
    typer.Option(metavar="GRID", help="Show epochs in MLflow as they end, in GRID's experiment."),
]


@axis_options
def train(
    axes: dict[str, str],
    cells: Cells = None,
    sparsity: Sparsity = 0.0,
    seed: Seed = 0,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    set_: Settings = None,
    out: Out = None,
    results: Results = Path("results"),
    device: Device = "auto",
    threads: Threads = 1,
    checkpoint_interval: CheckpointInterval = 30.0,
    grace: Grace = GRACE,
    fast: Fast = False,
    eager: Eager = False,
    diagnose: Diagnose = None,
    live: LiveGrid = None,
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
        work = [locate_cell(path, results) for path in cells]
    else:
        fields = {**axes, "sparsity": sparsity, "seed": seed}
        cell = _described(fields, recipe, epochs, parse_settings(set_))
        work = [(cell, out or cell_folder(results, cell))]
    devices = max(cell.training.devices for cell, _ in work)
    if diagnose is not None and devices > 1:
        raise UserError("--diagnose measures one device's gradients, but a cell has several")
    ranks = Torchrun.here()
    ranks.allow(len(work))

    @cache
    def machine() -> Machine:
        from agc.machine.device import prepare_machine

        return prepare_machine(device, threads, fast, devices, eager)

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
            from agc.runs.launch import Work, train_cell

            watch = [] if diagnose is None else wanted_epochs(diagnose, cell)
            told = Work(cell, folder, machine(), checkpoint_interval)
            if view is not None:
                view.cell(folder)
            outcome, measured = train_cell(told, stop, watch, on_epoch)
            if measured:
                write_diagnostics(cell, measured, folder / "diagnostics")
            return outcome

        each_cell(work, one, progress.cell)


def _described(
    fields: dict[str, Any], recipe: str | None, epochs: int | None, settings: list[tuple[str, Any]]
) -> Cell:
    if "dataset" not in fields or "architecture" not in fields:
        raise UserError("give cells, or at least --dataset and --architecture")
    return cell_from_options(fields, recipe, epochs, settings)


def _live_view(experiment: str | None, results: Path) -> AbstractContextManager[Live | None]:
    if experiment is None:
        return nullcontext()
    from agc.tracking import default_uri
    from agc.tracking.live import Live

    return Live(experiment, default_uri(results), results / "mlartifacts")
