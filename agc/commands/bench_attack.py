"""``agc bench attack``: the attack of adversarial training beside a library's."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from agc.commands.common import Device, Threads, make_console


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
