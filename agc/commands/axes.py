"""``agc list``: the entries of each axis."""

from __future__ import annotations

import sys
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

import typer
from pydantic_core import PydanticUndefined
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agc.architectures import own_names, own_summaries, timm_names
from agc.errors import UserError, unknown
from agc.grids.grid import load_grid
from agc.places import known_files
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

NOT_LISTED = {Axis.DATASETS: {"source", "benchmark_only"}}
"""Facts that are for the code; `agc data list` shows where data come from."""


def list_entries(
    axis: Annotated[Axis | None, typer.Argument(help="One axis; all of them if left out.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Architectures: timm's own names too.")
    ] = False,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="PATTERN",
            help="Architectures: ours and timm's of such a name, as 'resnet*' or 'vit'.",
        ),
    ] = None,
) -> None:
    """List data sets, architectures, methods, corrections, objectives, attacks and grids."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for wanted in [axis] if axis else list(Axis):
        if wanted in REGISTRIES:
            console.print(_table(wanted, REGISTRIES[wanted]))
        elif wanted is Axis.ARCHITECTURES:
            _architectures(console, all_, filter_)
        else:
            _grids(console)


def _table(axis: Axis, registry: Registry) -> Table:
    table = Table(title=axis.value, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("name", style="cyan", no_wrap=True)
    known = {key for name in registry.names() for key in registry[name].facts}
    facts = sorted(known - NOT_LISTED.get(axis, set()))
    if axis is Axis.CORRECTIONS:
        table.add_column("units a batch", justify="right")
        table.add_column("extra tensors", justify="right")
    for fact in facts:
        table.add_column(fact)
    table.add_column("what it is, options and their defaults", ratio=1)
    for name in registry.names():
        entry = registry[name]
        fields = registry.options(name).model_fields.items()
        options = ", ".join(f"{key}={_default(field.get_default())}" for key, field in fields)
        row = [name]
        if axis is Axis.CORRECTIONS:
            cost = entry.target.cost(**registry.resolve(name, {}))
            row += [f"{3 + cost.step + cost.snapshot:g}", f"{cost.tensors:g}"]
        row += [_fact(entry.facts.get(fact, "")) for fact in facts]
        table.add_row(*row, Text(entry.summary) + Text(f"\n{options}" if options else "", "dim"))
    return table


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "(required)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fact(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _architectures(console: Console, everything: bool, pattern: str | None) -> None:
    ours = own_summaries()
    theirs: tuple[str, ...] = ()
    if pattern is not None:
        theirs = _matching(pattern, timm_names())
        ours = {name: ours[name] for name in _matching(pattern, tuple(ours))}
        if not ours and not theirs:
            raise unknown("architecture", pattern, [*own_names(), *timm_names()])
    elif everything:
        theirs = timm_names()
    table = Table(title="architectures", title_justify="left", title_style="bold", show_edge=False)
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is, for images of 32×32 and 10 classes if nothing else is said")
    for name, summary in ours.items():
        table.add_row(name, summary)
    if ours:
        console.print(table)
    if theirs:
        console.print("timm's: " + ", ".join(theirs), highlight=False)
    if pattern is None and not everything:
        console.print(
            f"and {len(timm_names())} of timm's own: agc list architectures --filter 'vit*', or "
            "--all; layers and FLOPs of any: agc inspect NAME",
            highlight=False,
        )


def _matching(pattern: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that fit the pattern, or contain it if it has no wildcard."""
    whole = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    return tuple(name for name in names if fnmatchcase(name, whole))


def _grids(console: Console) -> None:
    table = Table(title="grids", title_justify="left", title_style="bold", show_edge=False)
    for column in ("name", "cells", "what it is"):
        table.add_column(column, no_wrap=column == "name")
    for _, path in sorted(known_files("grids").items()):
        try:
            grid = load_grid(str(path))
        except UserError as error:
            # A grid of entries that are not installed must not hide the others.
            table.add_row(path.stem, "–", str(error))
        else:
            table.add_row(grid.name, str(len(grid.cells)), grid.file.description)
    console.print(table)
