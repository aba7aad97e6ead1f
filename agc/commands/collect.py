"""``agc collect``: the records of a grid, gathered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from agc.commands.common import GridName, Results, cell_folder
from agc.files import atomic_write_text
from agc.grids.grid import load_grid
from agc.records.failure import WITHOUT_RESULT


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
    from agc.reports.collect import collect as gather

    loaded = load_grid(grid)
    name, folders = loaded.name, [cell_folder(results, cell) for cell in loaded.cells]
    statuses = Counter(gather(folders, results / name, partial, loaded.rates_by_arm))
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
