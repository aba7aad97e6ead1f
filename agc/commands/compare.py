"""``agc compare``: from collected records to tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results
from agc.errors import UserError
from agc.grids.grid import load_grid
from agc.places import checkout

Reports = Annotated[
    Path, typer.Option("--reports", help="Folder of the reports; one subfolder a grid.")
]


def compare(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
    show: Annotated[
        bool, typer.Option("--show", help="Only print the tables that are there.")
    ] = False,
) -> None:
    """Compare corrected with plain runs: tables, figures, and the claims of the paper."""
    from agc.reports.tables.terminal import print_comparison
    from agc.reports.tables.write import load_comparison

    name = load_grid(grid).name
    out = reports / name
    if not show:
        _write(results / name, out)
    console = Console(width=None if sys.stdout.isatty() else 120)
    print_comparison(load_comparison(out), console)
    if show:
        _next_steps(name, results, out, console)


def _write(collected: Path, out: Path) -> None:
    import pandas as pd

    from agc.reports.compare import compare as compare_records
    from agc.reports.figures.write import write_figures
    from agc.reports.sources import summarize_provenance
    from agc.reports.tables.html import write_page
    from agc.reports.tables.write import write_tables

    try:
        records = pd.read_parquet(collected / "records.parquet")
        epochs = pd.read_parquet(collected / "epochs.parquet")
    except OSError as error:
        raise UserError(f"{collected}: {error}; run `agc collect` first") from error
    write_tables(compare_records(records, epochs), out, summarize_provenance(records))
    write_page(out)
    write_figures(records, epochs, out / "figures")


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
