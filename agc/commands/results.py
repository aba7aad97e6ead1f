"""``agc collect`` and ``agc compare``: from records to tables."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results, grid_folders
from agc.errors import UserError
from agc.files import atomic_write_text
from agc.grid import load_grid
from agc.results.failure import WITHOUT_RESULT

Reports = Annotated[
    Path, typer.Option("--reports", help="Folder of the reports; one subfolder a grid.")
]


def collect(
    grid: GridName,
    results: Results = Path("results"),
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Show cells without a record as out of memory or unfinished."
        ),
    ] = False,
) -> None:
    """Gather the records of a grid's cells into two tables and one log."""
    from agc.results.collect import collect as gather

    name, folders = grid_folders(grid, results)
    statuses = Counter(gather(folders, results / name, partial))
    atomic_write_text(results / name / "train.log", "\n".join(_logs(folders)))
    lacking = [f"{statuses[s]} {s}" for s in WITHOUT_RESULT if statuses[s]]
    count = f"{statuses.total() - sum(statuses[s] for s in WITHOUT_RESULT)} records"
    tables = f"{results / name}/records.parquet and epochs.parquet"
    typer.echo(f"{', '.join([count, *lacking])} in {tables}")


def _logs(folders: list[Path]) -> list[str]:
    logs = ((folder.name, folder / "train.log") for folder in folders)
    return [
        f"== {name}\n{path.read_text(encoding='utf-8')}" for name, path in logs if path.exists()
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
    from agc.results.render import print_comparison
    from agc.results.tables import load_comparison

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

    from agc.results.compare import compare as compare_records
    from agc.results.figures import write_figures
    from agc.results.page import write_page
    from agc.results.provenance import summarize_provenance
    from agc.results.tables import write_tables

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
    made = str(page) if page.exists() else f"make report GRID={name}"
    console.print(f"report page: {made}", highlight=False, soft_wrap=True)
    console.print(f"tables and figures: {out}/", highlight=False, soft_wrap=True)
    command = ui_command(default_uri(results), results / "mlartifacts")
    console.print(f"MLflow: {command}", highlight=False, soft_wrap=True)
