"""``agc data``: data sets on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agc.commands.common import make_console, parse_settings
from agc.datasets.shared.manifest import MANIFEST
from agc.datasets.shared.place import data_root, prepared_folder
from agc.datasets.shared.prepare import prepare, source_of
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
    options = dict(parse_settings(set_, "OPTION=VALUE"))
    prepare(name, options, root, download=not offline, report=typer.echo)


@app.command("verify")
def verify_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set; see `agc data list`.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option, e.g. root=DIR."),
    ] = None,
) -> None:
    """Read a data set as training does, every image of it, and say what is wrong with which.

    Exit code 1 if an image cannot be read. Folders of images are worth it: training comes to some
    of their images late.
    """
    from agc.datasets.shared.verify import verify

    bad = verify(name, dict(parse_settings(set_, "OPTION=VALUE")), typer.echo)
    if bad:
        typer.echo(f"{name}: {bad} images cannot be read")
        raise typer.Exit(1)


@app.command("list")
def list_datasets() -> None:
    """Show which data sets this machine has ready, and where the others come from."""
    console = make_console()
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
