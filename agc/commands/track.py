"""``agc track``: the MLflow mirror of a grid's records."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results, grid_folders
from agc.errors import UserError
from agc.files import write_json

app = typer.Typer(help="Mirror records in MLflow; the files stay the truth.", no_args_is_help=True)

Uri = Annotated[
    str | None,
    typer.Option(
        "--uri",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow's store; an SQLite file in the results folder by default.",
    ),
]


@app.command()
def sync(
    grid: GridName,
    results: Results = Path("results"),
    uri: Uri = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete runs of cells that left the grid.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the outcome as JSON.")
    ] = None,
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="An unreachable store is a warning, not an error.")
    ] = False,
) -> None:
    """Add what is missing in MLflow and repair what is partial; nothing is duplicated."""
    from agc.tracking import default_uri
    from agc.tracking import sync as mirror

    name, folders = grid_folders(grid, results)
    store = uri or default_uri(results)
    try:
        done = mirror(name, folders, store, results / "mlartifacts", prune=prune)
    except UserError as error:
        if not tolerant:
            raise
        message = f"not mirrored: {error}; later: agc track sync {name}"
        Console(stderr=True, soft_wrap=True).print(f"agc: warning: {message}", markup=False)
        outcome = {"mirrored": False, "reason": str(error)}
    else:
        typer.echo(done.summary())
        outcome = {"mirrored": True, **asdict(done)}
    if report is not None:
        write_json(report, outcome)


@app.command()
def check(grid: GridName, results: Results = Path("results"), uri: Uri = None) -> None:
    """Tell whether MLflow repeats the records; exit code 1 if it does not."""
    from agc.tracking import check as compare
    from agc.tracking import default_uri

    name, folders = grid_folders(grid, results)
    found = compare(name, folders, uri or default_uri(results), results / "mlartifacts")
    typer.echo(found.summary())
    if not found.in_step:
        raise typer.Exit(1)


@app.command()
def ui(results: Results = Path("results"), uri: Uri = None) -> None:
    """Print the command that shows the mirror in a browser.

    The page asks for no password, so it listens on 127.0.0.1 alone. From another machine:
    ssh -L 5000:127.0.0.1:5000 HOST. A server for several people needs passwords
    (mlflow server --app-name basic-auth), --allowed-hosts, and TLS from a proxy in front of it.
    """
    from agc.tracking import default_uri, ui_command

    typer.echo(ui_command(uri or default_uri(results), results / "mlartifacts"))
