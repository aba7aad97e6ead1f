"""``agc bench data``: does the loader keep the training step busy?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from agc.commands.common import Device, Threads, make_console
from agc.grids.cell import make_cell


def bench_data(
    architecture: Annotated[str, typer.Option(help="Network of the training step.")] = "resnet8",
    dataset: Annotated[
        str, typer.Option(help="Data set, prepared; made-up 32×32 images by default.")
    ] = "synthetic",
    batch_size: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 128,
    crop: Annotated[int, typer.Option(min=0, help="Pixels of reflecting padding.")] = 4,
    workers: Annotated[int, typer.Option(min=0, help="Processes of torch's DataLoader.")] = 2,
    seconds: Annotated[float, typer.Option(help="How long to measure each, about.")] = 5.0,
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Images per second of the loader alone, of torchvision's way, and of the training step.

    All with a random crop and a flip. The step is a plain one, without sparsity and correction,
    which only make it longer.
    """
    augmentation = {"crop": crop, "flip": True, "padding": "reflect" if crop else "zero"}
    cell = make_cell(
        {
            "dataset": dataset,
            "architecture": architecture,
            "training": {"batch_size": batch_size, "augmentation": augmentation},
        },
        "options",
    )

    from agc.benchmarks.data_speed import measure
    from agc.machine.device import prepare_machine

    machine = prepare_machine(device, threads)
    speeds = measure(cell, machine.device, workers, seconds)
    step = speeds[-1].seconds
    table = Table(show_edge=False)
    table.add_column("what")
    for column in ("images/s", "ms a batch", "share of the step"):
        table.add_column(column, justify="right")
    for speed in speeds:
        share = f"{100 * speed.seconds / step:.1f} %"
        rate = f"{batch_size / speed.seconds:,.0f}"
        table.add_row(speed.name, rate, f"{1000 * speed.seconds:.2f}", share)
    console = make_console()
    console.print(table)
    console.print(
        f"{dataset}, batches of {batch_size} on {machine.name}, {threads} threads; "
        "a loader's share counts fully unless it works beside the step, as worker processes do",
        highlight=False,
    )
