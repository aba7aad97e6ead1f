"""``agc report``: the page of a grid, with the ways to its cells and their runs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agc.commands.common import GridName, Reports, Results, cell_folder, elsewhere
from agc.commands.working import Working
from agc.errors import UserError
from agc.files import read_json
from agc.grids.grid import Grid, load_grid

if TYPE_CHECKING:
    import pandas as pd

    from agc.reports.compare import Comparison

TRACKED = "tracking.json"
APPENDIX = "workflow.html"
"""Snakemake's report, where `make report` has put it beside the page."""


def report(
    grid: GridName,
    results: Results = Path("results"),
    reports: Reports = Path("reports"),
) -> None:
    """Write the page of a grid anew, reports/GRID/report.html, from its report's tables.

    It leads to what is there by now: the cells' folders, their runs in MLflow, and Snakemake's
    report. A study in stages has a page of hypotheses, which agc compare writes.
    """
    from agc.reports.compare import compare
    from agc.reports.study import read_study
    from agc.reports.web.page import HTML

    loaded = load_grid(grid)
    out = reports / loaded.name
    tables = f"agc compare {shlex.quote(grid)}{elsewhere(results=results, reports=reports)}"
    if loaded.stages is not None:
        if not (out / HTML).is_file():
            raise UserError(f"no page in {out}: `{tables}` writes that of a study")
        typer.echo(out / HTML)
        return
    records, epochs = read_study(out, tables)
    with Working("") as tell:
        tell(0, 0, "the page is drawn")
        found = compare(records, epochs, loaded.file.margin)
        page = write_page(loaded, records, epochs, found, out, results)
    typer.echo(page)


def write_page(
    grid: Grid,
    records: pd.DataFrame,
    epochs: pd.DataFrame,
    comparison: Comparison,
    out: Path,
    results: Path,
) -> Path:
    """Write the page of a report folder ``out``; returns its path."""
    from agc.reports.sources import summarize_provenance
    from agc.reports.web.page import Beside, write_grid_page

    tracked = _tracked(results / grid.name / TRACKED)
    shows = f"agc track ui {shlex.quote(grid.name)}{elsewhere(results=results)}"
    beside = Beside(
        links=_links(grid, out, results, tracked),
        run_page=shows if tracked else "",
        appendix=APPENDIX if (out / APPENDIX).is_file() else "",
    )
    provenance = summarize_provenance(records)
    named = (grid.name, grid.file.description, beside)
    return write_grid_page(records, epochs, comparison, out, provenance, *named)


def _links(
    grid: Grid, out: Path, results: Path, tracked: dict[str, str]
) -> dict[str, dict[str, str]]:
    found = {}
    for cell in grid.cells:
        folder = cell_folder(results, cell)
        way = Path(os.path.relpath(folder, out)).as_posix()
        ways = {"folder": f"{way}/"} if folder.is_dir() else {}
        if (folder / "train.log").is_file():
            ways["log"] = f"{way}/train.log"
        if cell.slug in tracked:
            ways["MLflow"] = tracked[cell.slug]
        found[cell.slug] = ways
    return found


def _tracked(path: Path) -> dict[str, str]:
    """Addresses of the runs that ``agc track sync --report`` wrote down; none if it did not."""
    try:
        return read_json(path)["runs"]
    except (UserError, KeyError, TypeError):
        return {}
