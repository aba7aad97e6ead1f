"""Arguments that several commands share."""

from __future__ import annotations

import inspect
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from agc.errors import UserError
from agc.files import parse_yaml
from agc.grids.axes import AXES, Axis
from agc.grids.cell import Cell, read_cell
from agc.grids.grid import load_grid
from agc.machine.stop import EXIT_CODE, Stopped

Results = Annotated[
    Path,
    typer.Option("--results", help="Folder of the results.", envvar="AGC_RESULTS"),
]
Reports = Annotated[
    Path, typer.Option("--reports", help="Folder of the reports; one subfolder a grid.")
]
GridName = Annotated[
    str,
    typer.Argument(
        metavar="GRID", help="A grid of workflows/grids or of the package, or a YAML file's path."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="AGC_DEVICE",
        help="auto (a free one, of AGC_DEVICES if that lists some), auto/3 (a place on one that "
        "three processes share), cpu, cuda, cuda:1, ...",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        "--threads",
        min=1,
        envvar="AGC_THREADS",
        help="CPU threads; two processes of one thread beat one of two.",
    ),
]


def make_console() -> Console:
    """Where a command shows its outcome; 120 columns where that is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def parse_settings(
    settings: Iterable[str] | None, form: str = "KEY=VALUE"
) -> list[tuple[str, Any]]:
    """Keys and values of ``--set``, each value read as YAML.

    Raises:
        UserError: one is not of this form, its value is not YAML, or a key is set twice.
    """
    found: dict[str, Any] = {}
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting!r}: expected {form}")
        if key in found:
            raise UserError(f"--set {setting!r}: {key} is set twice")
        try:
            found[key] = parse_yaml(text)
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or str(error)
            raise UserError(f"--set {setting!r}: the value is not YAML ({reason})") from error
    return list(found.items())


def axis_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each axis where it has the one argument ``axes``.

    ``axes`` is then a mapping of axes to the names given, without those that were left out.
    """
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def call(**arguments: Any) -> None:
        chosen = {name: arguments.pop(name) for name in AXES}
        axes = {name: value for name, value in chosen.items() if value is not None}
        command(axes=axes, **arguments)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        own = parameter.name != "axes"
        parameters += [parameter] if own else [_option(axis) for axis in AXES.values()]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _option(axis: Axis) -> inspect.Parameter:
    # A section of the recipe says what is used where the option is left out.
    default = axis.default if axis.section is None else None
    return inspect.Parameter(
        axis.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=default,
        annotation=Annotated[str | None, typer.Option(help=axis.help)],
    )


def elsewhere(**folders: Path) -> str:
    """Options of a command that name these folders, of those that are not where they usually are.

    For messages that name a command: ``elsewhere(results=Path("/data/r"))`` is
    ``" --results /data/r"``, and empty for ``results``.
    """
    return "".join(
        f" --{option} {shlex.quote(str(folder))}"
        for option, folder in folders.items()
        if folder != Path(option)
    )


def cell_folder(results: Path, cell: Cell) -> Path:
    """Where a cell's files are."""
    return results / "cells" / cell.slug


def locate_cell(path: Path, results: Path) -> tuple[Cell, Path]:
    """A cell and its folder: the one that ``cell.json`` is in, or the usual one of the results."""
    if path.is_dir():
        return read_cell(path / "cell.json"), path
    cell = read_cell(path)
    return cell, path.parent if path.name == "cell.json" else cell_folder(results, cell)


def grid_folders(grid: str, results: Path) -> tuple[str, list[Path]]:
    """Name of a grid and the folders of its cells, in the grid's order."""
    loaded = load_grid(grid)
    return loaded.name, [cell_folder(results, cell) for cell in loaded.cells]


def each_cell(
    work: list[tuple[Cell, Path]],
    one: Callable[[Cell, Path], str],
    report: Callable[[Cell, str], None],
) -> None:
    """Do one cell after another; what goes wrong in one does not stop the others.

    Raises:
        UserError: the problem, if there was but one cell.
        typer.Exit: code 75 if a signal ended the work, 2 if all problems were bad input, else 1.
    """
    console = Console(stderr=True, soft_wrap=True)
    codes = []
    for cell, folder in work:
        try:
            report(cell, one(cell, folder))
        except Stopped as stopped:
            report(cell, str(stopped))
            console.print("agc: stopped; run the same command again to go on", markup=False)
            raise typer.Exit(EXIT_CODE) from stopped
        except UserError as error:
            if len(work) == 1:
                raise
            console.print(f"agc: error: {cell.slug}: {error}", markup=False)
            codes.append(2)
        except Exception:
            console.print(f"agc: {cell.slug} failed:\n{traceback.format_exc()}", markup=False)
            codes.append(1)
    if codes:
        console.print(f"agc: {len(codes)} of {len(work)} cells failed", markup=False)
        raise typer.Exit(min(codes))


def wanted_epochs(text: str | None, cell: Cell) -> list[int]:
    """The epochs named, ``all`` of them, or first, middle and last.

    Raises:
        UserError: not numbers of epochs of the cell.
    """
    last = cell.training.epochs
    if text is None:
        return sorted({1, (last + 1) // 2, last})
    if text == "all":
        return list(range(1, last + 1))
    try:
        wanted = sorted({int(part) for part in text.split(",")})
    except ValueError:
        wanted = []
    if not wanted or wanted[0] < 1 or wanted[-1] > last:
        raise UserError(f"--epochs {text!r}: expected numbers from 1 to {last}, with commas")
    return wanted
