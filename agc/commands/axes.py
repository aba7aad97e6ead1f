"""``agc list``: the entries of each axis."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agc.architectures import own_names, timm_names
from agc.grid import find_file, load_grid
from agc.registry import ATTACKS, CORRECTIONS, DATASETS, METHODS, OBJECTIVES, Registry


class Axis(StrEnum):
    """What can be listed."""

    DATASETS = "datasets"
    ARCHITECTURES = "architectures"
    METHODS = "methods"
    CORRECTIONS = "corrections"
    OBJECTIVES = "objectives"
    ATTACKS = "attacks"
    GRIDS = "grids"


REGISTRIES: dict[Axis, Registry] = {
    Axis.DATASETS: DATASETS,
    Axis.METHODS: METHODS,
    Axis.CORRECTIONS: CORRECTIONS,
    Axis.OBJECTIVES: OBJECTIVES,
    Axis.ATTACKS: ATTACKS,
}


def list_entries(
    axis: Annotated[Axis | None, typer.Argument(help="One axis; all of them if left out.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Architectures: timm's own names too.")
    ] = False,
) -> None:
    """List data sets, architectures, methods, corrections, objectives, attacks and grids."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for wanted in [axis] if axis else list(Axis):
        if wanted in REGISTRIES:
            console.print(_table(wanted, REGISTRIES[wanted]))
        elif wanted is Axis.ARCHITECTURES:
            _architectures(console, all_)
        else:
            _grids(console)


def _table(axis: Axis, registry: Registry) -> Table:
    table = Table(title=axis.value, title_justify="left", title_style="bold", show_edge=False)
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is")
    table.add_column("options (defaults)", no_wrap=True)
    facts = sorted({key for name in registry.names() for key in registry[name].facts})
    if axis is Axis.CORRECTIONS:
        table.add_column("units a batch")
        table.add_column("extra tensors")
    for fact in facts:
        table.add_column(fact)
    for name in registry.names():
        entry = registry[name]
        fields = registry.options(name).model_fields.items()
        options = "\n".join(f"{key}={_default(field.get_default())}" for key, field in fields)
        row = [name, entry.summary, options]
        if axis is Axis.CORRECTIONS:
            cost = entry.target.cost(**registry.resolve(name, {}))
            row += [f"{3 + cost.step + cost.snapshot:g}", f"{cost.tensors:g}"]
        table.add_row(*row, *(_fact(entry.facts.get(fact, "")) for fact in facts))
    return table


def _default(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fact(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _architectures(console: Console, everything: bool) -> None:
    console.print("[bold italic]architectures[/]")
    console.print(" registered here: " + ", ".join(own_names()), highlight=False)
    if everything:
        console.print(" timm's: " + ", ".join(timm_names()), highlight=False)
    else:
        console.print(f" and {len(timm_names())} of timm's own (agc list architectures --all)")


def _grids(console: Console) -> None:
    table = Table(title="grids", title_justify="left", title_style="bold", show_edge=False)
    for column in ("name", "cells", "what it is"):
        table.add_column(column, no_wrap=column == "name")
    for path in sorted(find_file("grids", "digits").parent.glob("*.yaml")):
        grid = load_grid(str(path))
        table.add_row(grid.name, str(len(grid.cells)), grid.file.description)
    console.print(table)
