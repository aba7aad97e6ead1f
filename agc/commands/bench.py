"""``agc bench``: how fast this machine is, and the suite's own parts beside others'."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from agc.commands.common import Device, Reports, Threads, make_console
from agc.files import atomic_write_text
from agc.grids.cell import make_cell

app = typer.Typer(name="bench", help="How fast this machine is.", no_args_is_help=True)


@app.command("attack")
def bench_attack(
    dataset: Annotated[str, typer.Option(help="Data set whose images are attacked.")] = "digits",
    architecture: Annotated[str, typer.Option(help="Network.")] = "resnet8",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Attack steps.")] = 10,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds, each with every attack once; medians count.")
    ] = 9,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16 (autocast).")] = "float32",
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Memory format of the network.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Attack the same batch with the suite's PGD and with torchattacks', in this process."""
    from agc.benchmarks.attack_speed import measure
    from agc.machine.device import prepare_machine

    machine = prepare_machine(device, threads, fast=True)
    found = measure(
        dataset, architecture, batch, steps, rounds, precision, channels_last, machine.device
    )
    if as_json:
        typer.echo(json.dumps({**found, "device": machine.name, "threads": threads}, indent=1))
        return
    console = make_console()
    title = f"PGD-{steps}, {architecture} on {dataset}, {batch} images, {precision}, {machine.name}"
    table = Table("attack", title=title, title_justify="left", show_edge=False)
    table.add_column("images/s", justify="right")
    table.add_column("relative", justify="right")
    for name, speed in found["images_per_second"].items():
        table.add_row(name, f"{speed:,.0f}", f"{speed / found['images_per_second']['agc']:.2f}")
    console.print(table)


@app.command("data")
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


@app.command("train")
def bench_train(
    network: Annotated[
        list[str] | None,
        typer.Option(help="Network; repeat it for several. By default small to large ones."),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Images a batch.")] = 128,
    size: Annotated[int, typer.Option(min=8, help="Pixels a side.")] = 32,
    seconds: Annotated[float, typer.Option(help="For all parts together, about.")] = 540.0,
    official: Annotated[
        Path | None,
        typer.Option(help="Folder A-ITOP of the official code, whose epoch is measured too."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File; of a card reports/gpu/<card>.json, of a CPU none by default."),
    ] = None,
    reports: Reports = Path("reports"),
    eager: Annotated[bool, typer.Option("--eager", help="No CUDA graphs.")] = False,
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Training steps of the suite beside a plain loop in this process: time, units, kernels,
    waits, memory, and what could make them faster.

    The file is written after each part, so that one that is interrupted has what was done.
    """
    from agc.benchmarks.training_speed import Settings, measure
    from agc.machine.device import prepare_machine

    machine = prepare_machine(device, threads, eager=eager)
    networks = tuple(network or ("resnet18", "resnet50", "resnet8"))
    settings = Settings(networks, batch, size, seconds, official, machine.graphs)
    if out is None and machine.name != "cpu":
        card = re.sub(r"[^a-z0-9]+", "-", machine.name.lower()).strip("-")
        out = reports / "gpu" / f"{card}.json"
    head = {"device": machine.name, "batch": batch, "size": size}

    def write(found: dict[str, Any]) -> None:
        if out is not None:
            report = {**head, **found, "provenance": machine.provenance()}
            atomic_write_text(out, json.dumps(report, indent=1) + "\n")

    found = measure(settings, machine.device, write)
    console = make_console()
    for name, kinds in found.get("steps", {}).items():
        for kind, rows in kinds.items():
            if "error" in rows:
                console.print(f"{name}, {kind}: {rows['error']}", highlight=False, markup=False)
                continue
            title = f"{name}, {kind}, {batch} images of {size} pixels, {machine.name}"
            table = Table("step", title=title, title_justify="left", show_edge=False)
            for column in ("ms", "of plain", "of units"):
                table.add_column(column, justify="right")
            for row in rows:
                figures = [
                    f"{row[k]:.2f}" if k in row else "" for k in ("ms", "ratio", "over_units")
                ]
                table.add_row(escape(f"{row['name']} {row.get('error', '')}".rstrip()), *figures)
            console.print(table)
    if out is not None:
        console.print(f"{out}: all of it", highlight=False, markup=False)
