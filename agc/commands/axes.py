"""``agc list``: the entries of each axis."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticUndefined
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agc.commands.common import make_console
from agc.errors import UserError, unknown
from agc.grids.axes import AXES
from agc.grids.grid import load_grid, read_grid
from agc.grids.tuning import tuning_name
from agc.places import known_files
from agc.registry import ATTACKS, COMPRESSORS, Registry

REGISTRIES: dict[str, Registry] = {axis.plural: axis.registry for axis in AXES.values()}
REGISTRIES |= {"attacks": ATTACKS, "compressors": COMPRESSORS}

Axis = StrEnum("Axis", [(name.upper(), name) for name in (*REGISTRIES, "grids")])
"""What can be listed."""

EXAMPLES = {"architectures": "vit*", "optimizers": "ada*"}
HEADINGS = {
    "architectures": "what it is, for images of 32×32 and 10 classes if nothing else is said"
}
NOT_LISTED = {"datasets": {"source", "benchmark_only"}, "communication": {"against", "apart"}}
"""Facts that are for the code; `agc data list` shows where data come from."""


def list_entries(
    axis: Annotated[Axis | None, typer.Argument(help="One axis; all of them if left out.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Architectures, optimizers: timm's own names too.")
    ] = False,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="PATTERN",
            help="Architectures, optimizers: ours and timm's of such a name, as 'vit*' or 'ada'.",
        ),
    ] = None,
) -> None:
    """List the entries of each axis, the attacks and the grids."""
    console = make_console()
    for wanted in [axis] if axis else list(Axis):
        if wanted == "grids":
            _grids(console)
            continue
        _entries(console, wanted.value, REGISTRIES[wanted], all_, filter_)


def _entries(
    console: Console, title: str, registry: Registry, everything: bool, pattern: str | None
) -> None:
    """Our entries, and those of the library behind the axis if there is one and they are wanted."""
    ours, theirs = registry.names(), registry.library_names()
    if pattern is not None and theirs:
        known = [*ours, *theirs]
        ours, theirs = _matching(pattern, ours), _matching(pattern, theirs)
        if not ours and not theirs:
            raise unknown(registry.kind, pattern, known)
    if ours:
        console.print(_table(title, registry, ours))
    others = sorted(set(theirs) - set(registry.names()))
    if others and (everything or pattern is not None):
        console.print("timm's: " + ", ".join(others), highlight=False)
    elif others:
        more = "; layers and FLOPs of any: agc inspect NAME" if title == "architectures" else ""
        console.print(
            f"and {len(others)} of timm's own: agc list {title} --filter '{EXAMPLES[title]}', or "
            f"--all{more}",
            highlight=False,
        )


def _table(title: str, registry: Registry, names: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
    if title not in HEADINGS:
        table.box, table.show_edge = SIMPLE_HEAD, True
    table.add_column("name", style="cyan", no_wrap=True)
    entries = [registry[name] for name in names]
    costs = all(hasattr(entry.target, "cost") for entry in entries)
    facts = sorted({key for entry in entries for key in entry.facts} - NOT_LISTED.get(title, set()))
    for heading in ("units a batch", "extra tensors") if costs else ():
        table.add_column(heading, justify="right")
    for fact in facts:
        table.add_column(fact)
    table.add_column(HEADINGS.get(title, "what it is, options and their defaults"), ratio=1)
    for entry in entries:
        row = [entry.name]
        if costs:
            cost = entry.target.cost(**registry.resolve(entry.name, {}))
            row += [f"{3 + cost.step + cost.snapshot:g}", f"{cost.tensors:g}"]
        row += [_fact(entry.facts.get(fact, "")) for fact in facts]
        options = _options(registry, entry.name)
        table.add_row(*row, Text(entry.summary) + Text(f"\n{options}" if options else "", "dim"))
    return table


def _options(registry: Registry, name: str) -> str:
    if registry.option_names(name) is None:
        return ""
    fields = registry.options(name).model_fields.items()
    return ", ".join(f"{key}={_default(field.get_default())}" for key, field in fields)


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "(required)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fact(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _matching(pattern: str, names: list[str]) -> list[str]:
    """Names that fit the pattern, or contain it if it has no wildcard."""
    whole = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    return [name for name in names if fnmatchcase(name, whole)]


def _grids(console: Console) -> None:
    table = Table(title="grids", title_justify="left", title_style="bold", show_edge=False)
    for column in ("name", "cells", "what it is"):
        table.add_column(column, no_wrap=column == "name")
    paths = [path for _, path in sorted(known_files("grids").items())]
    for name in [name for path in paths for name in _with_tuning(path)]:
        try:
            grid = load_grid(name)
        except UserError as error:
            # A grid of entries that are not installed must not hide the others.
            table.add_row(Path(name).stem, "–", str(error))
        else:
            table.add_row(grid.name, str(len(grid.cells)), grid.file.description)
    console.print(table)


def _with_tuning(path: Path) -> list[str]:
    """A grid's file and, if it has such, the grid of its tuning runs."""
    try:
        tuned = read_grid(str(path))[1].tuning is not None
    except UserError:
        tuned = False
    return [str(path), tuning_name(str(path))] if tuned else [str(path)]
