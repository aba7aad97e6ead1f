"""``agc data``: data sets on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from agc.datasets.shared.manifest import MANIFEST
from agc.datasets.shared.place import data_root, prepared_folder
from agc.datasets.shared.prepare import prepare, source_of
from agc.errors import UserError
from agc.registry import DATASETS

app = typer.Typer(
    name="data",
    help="Data sets on this machine: what is prepared, and preparation.",
    no_args_is_help=True,
)


@app.command("prepare")
def prepare_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set; see `agc data list`.")],
    root: Annotated[
        Path | None, typer.Option("--root", help="A folder with the original files.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option, e.g. extra=true of svhn."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Verify a data set's original files, and make of them what training reads.

    Nothing is done if that is there and whole. Files are looked for in --root, in the folder of
    the data (AGC_DATA_ROOT, else agc in the user's cache), in a system package's folder, and are
    downloaded otherwise.
    """
    options = dict(_option(text) for text in set_ or [])
    prepare(name, options, root, download=not offline, report=typer.echo)


@app.command("list")
def list_datasets() -> None:
    """Show which data sets this machine has ready, and where the others come from."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(show_edge=False)
    for column in ("name", "ready", "comes from", "store"):
        table.add_column(column, no_wrap=column == "name")
    for name in DATASETS.names():
        source = source_of(name)
        if source is None:
            table.add_row(name, "yes", "needs no preparation", "")
            continue
        folders = map(prepared_folder, [name, *(f"{name}-{v}" for v in source.variants)])
        stores = [str(folder) for folder in folders if (folder / MANIFEST).exists()]
        table.add_row(name, "yes" if stores else "no", str(source), "\n".join(stores))
    console.print(table)
    console.print(f"data: {data_root()} (AGC_DATA_ROOT changes it)", highlight=False)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text!r}: expected OPTION=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text!r}: the value is not YAML") from error
