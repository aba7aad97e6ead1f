"""``agc compare``: from collected records to tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results, make_console
from agc.errors import UserError
from agc.grids.files import Margin
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
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        help="Only check against the parquet files of this folder, such as those of another "
        "machine: exit code 0 if all is identical or reproduced, 1 if not, or if too few runs "
        "can tell. Nothing is written.",
    ),
]


def compare(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
    source: From = None,
    against: Against = None,
    show: Annotated[
        bool, typer.Option("--show", help="Only print the tables that are there.")
    ] = False,
) -> None:
    """Compare corrected with plain runs: tables, figures, verdicts, and the claims of the paper.

    With --against: compare these records with another set of records of the same cells.
    """
    from agc.reports.tables.terminal import print_comparison
    from agc.reports.tables.write import load_comparison

    if show and source is not None:
        raise UserError("--show prints the tables that are there, --from draws new ones")
    if show and against is not None:
        raise UserError("--against prints tables of its own, and writes none: leave out --show")
    loaded = load_grid(grid)
    if against is not None:
        _check(source or results / loaded.name, against, loaded.file.margin)
        return
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
    named = (grid.name, grid.file.description, grid.file.margin, grid.learning_rates)
    write_report(records, epochs, out, *named)
    # Drawn from their own copy, the tables stay as they are.
    if collected.resolve() != out.resolve():
        publish_study(records, epochs, out)


def _check(here: Path, there: Path, margin: Margin) -> None:
    from agc.reports.against import check_against
    from agc.reports.same_cells import match_cells
    from agc.reports.same_rows import MEASURES
    from agc.reports.study import read_study
    from agc.reports.tables.against import print_check

    same = match_cells(read_study(here), read_study(there))
    check = check_against(same, {name: getattr(margin, name) for name in MEASURES})
    print_check(check, str(here), str(there), make_console())
    if not check.holds:
        raise typer.Exit(1)


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
