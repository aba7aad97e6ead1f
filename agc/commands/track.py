"""``agc track``: the MLflow mirror of a grid's records."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Reports, Results, cell_folder, elsewhere
from agc.commands.working import Working
from agc.errors import UserError
from agc.files import write_json
from agc.grids.grid import load_grid
from agc.places import known_files

if TYPE_CHECKING:
    from agc.tracking import Grid

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
    reports: Reports = Path("reports"),
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
    """Add what is missing in MLflow and repair what is partial; nothing is duplicated.

    Then its page opens on the grid's arms with their verdicts, where the grid's report has them.
    """
    from agc.tracking import default_uri, present
    from agc.tracking import sync as mirror
    from agc.tracking.server import page_of
    from agc.tracking.view import run_address

    found = _grid(grid, results, reports)
    store, artifacts = uri or default_uri(results), results / "mlartifacts"
    try:
        with Working("runs") as tell:
            done = mirror(found.name, found.folders, store, artifacts, tell, prune)
            front = present(found, store, artifacts, tell)
    except UserError as error:
        if not tolerant:
            raise
        again = f"agc track sync {shlex.quote(grid)}{elsewhere(results=results, reports=reports)}"
        message = f"not mirrored: {error}; later: `{again}`"
        Console(stderr=True, soft_wrap=True).print(f"agc: warning: {message}", markup=False)
        outcome = {"mirrored": False, "reason": str(error)}
    else:
        shown = f", {front.arms} arms" if front.arms else ""
        typer.echo(f"{done.summary()}{shown}")
        runs = {
            slug: run_address(page_of(store), front.experiment, run)
            for slug, run in front.runs.items()
        }
        outcome = {"mirrored": True, **asdict(done), "arms": front.arms, "runs": runs}
    if report is not None:
        write_json(report, outcome)


@app.command()
def check(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
    uri: Uri = None,
) -> None:
    """Tell whether MLflow repeats the records; exit code 1 if it does not."""
    from agc.tracking import check as compare
    from agc.tracking import default_uri, present
    from agc.tracking.server import is_empty

    found = _grid(grid, results, reports)
    store, artifacts = uri or default_uri(results), results / "mlartifacts"
    with Working("runs") as tell:
        mirrored = compare(found.name, found.folders, store, artifacts)
        complete = mirrored.in_step and not is_empty(store)
        shown = present(found, store, artifacts, tell, write=False) if complete else None
    typer.echo(mirrored.summary())
    if shown is not None and not shown.in_step:
        line = f"{found.name}: {shown.arms} arms and {shown.changed} other things to be shown anew"
        typer.echo(line)
    if not mirrored.in_step or (shown is not None and not shown.in_step):
        raise typer.Exit(1)


@app.command()
def ui(
    grid: Annotated[
        str | None,
        typer.Argument(metavar="[GRID]", help="The grid to open; the only one by default."),
    ] = None,
    results: Results = Path("results"),
    uri: Uri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 5000,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, if there is one.")
    ] = True,
    command: Annotated[
        bool, typer.Option("--command", help="Only print the command that starts the server.")
    ] = False,
) -> None:
    """Start MLflow's page and open it on a grid's arms; Ctrl-C ends it.

    The page asks for no password, so it listens on 127.0.0.1 alone. From another machine:
    ssh -L 5000:127.0.0.1:5000 HOST. A server for several people needs passwords
    (mlflow server --app-name basic-auth), --allowed-hosts, and TLS from a proxy in front of it.
    """
    from agc.tracking import default_uri, ui_command
    from agc.tracking.server import grid_address, is_empty, page_of, served, wait_for
    from agc.tracking.store import is_server

    store, artifacts = uri or default_uri(results), results / "mlartifacts"
    if command:
        typer.echo(ui_command(store, artifacts, port))
        return
    known = shlex.quote(grid) if grid in known_files("grids") else "GRID"
    fills = f"agc track sync {known}{elsewhere(results=results)}"
    if is_empty(store):
        raise UserError(f"nothing is mirrored in {results}: `{fills}`")
    if is_server(store):
        _tell_address(grid_address(store, grid, page_of(store), fills), show)
        return
    # First, as it also finds what is wrong with the store: the server would say so at length.
    place = grid_address(store, grid, "", fills)
    # Who is ended by a signal ends the server, too, as by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with served(store, artifacts, port) as process:
            with Working("") as tell:
                tell(0, 0, "MLflow's server starts")
                page = wait_for(process, port)
            _tell_address(f"{page}{place}", show)
            typer.echo("Ctrl-C ends it.", err=True)
            process.wait()
    except KeyboardInterrupt:
        return
    raise UserError("MLflow's server has ended")


def _tell_address(place: str, show: bool) -> None:
    typer.echo(f"MLflow: {place}")
    # Without a display webbrowser may choose one that draws in this terminal.
    graphical = sys.platform in ("darwin", "win32") or any(
        name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if show and graphical:
        webbrowser.open(place)


def _grid(name: str, results: Path, reports: Path) -> Grid:
    from agc.tracking import Grid

    loaded = load_grid(name)
    return Grid(
        name=loaded.name,
        given=name,
        question=loaded.file.description,
        cells={cell.slug: cell.model_dump(mode="json") for cell in loaded.cells},
        folders=[cell_folder(results, cell) for cell in loaded.cells],
        report=reports / loaded.name,
    )
