"""``agc compare``: from collected records to tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results, make_console
from agc.errors import UserError
from agc.grids.grid import Grid, load_grid
from agc.places import checkout

Reports = Annotated[
    Path, typer.Option("--reports", help="Folder of the reports; one subfolder a grid.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Draw anew from the parquet files of this folder, as reports/GRID, without results.",
    ),
]


def compare(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
    source: From = None,
    show: Annotated[
        bool, typer.Option("--show", help="Only print the tables that are there.")
    ] = False,
) -> None:
    """Compare corrected with plain runs: tables, figures, verdicts, and the claims of the paper."""
    from agc.reports.tables.terminal import print_comparison
    from agc.reports.tables.write import load_comparison

    if show and source is not None:
        raise UserError("--show prints the tables that are there, --from draws new ones")
    loaded = load_grid(grid)
    out = reports / loaded.name
    if not show:
        _write(source or results / loaded.name, out, loaded)
    console = make_console()
    print_comparison(load_comparison(out), console)
    if show:
        _next_steps(loaded.name, results, out, console)


def _write(collected: Path, out: Path, grid: Grid) -> None:
    from agc.reports.report import write_report
    from agc.reports.study import publish_study, read_study

    records, epochs = read_study(collected)
    write_report(records, epochs, out, grid.name, grid.file.description, grid.file.margin)
    # Drawn from their own copy, the tables stay as they are.
    if collected.resolve() != out.resolve():
        publish_study(records, epochs, out)


def _next_steps(name: str, results: Path, out: Path, console: Console) -> None:
    from agc.tracking import default_uri, ui_command

    page = out / "report.html"
    made = f"snakemake --cores 1 --config grid={name} --report {page}"
    if page.exists():
        made = str(page)
    elif checkout() == Path.cwd():
        made = f"make report GRID={name}"
    console.print(f"report page: {made}", highlight=False, soft_wrap=True)
    console.print(f"tables and figures: {out}/", highlight=False, soft_wrap=True)
    command = ui_command(default_uri(results), results / "mlartifacts")
    console.print(f"MLflow: {command}", highlight=False, soft_wrap=True)
