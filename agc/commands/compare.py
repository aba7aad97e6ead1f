"""``agc compare``: from collected records to tables and figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Reports, Results, elsewhere, make_console
from agc.commands.report import write_page
from agc.commands.working import Working
from agc.errors import UserError
from agc.grids.files import Margin
from agc.grids.grid import Grid, load_grid

if TYPE_CHECKING:
    from agc.reports.against import Check

TABLE = "comparison.csv"
"""Of a report: what is shown of it is there if this is."""

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Draw anew from the parquet files of this folder, as reports/GRID, without results.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="FOLDER",
        help="Only check against the parquet files of this folder, such as those of another "
        "machine, or of a commit, as HEAD:reports/GRID: exit code 0 if all is identical or "
        "reproduced, 1 if not, or if too few runs can tell. Nothing is written. With --show the "
        "tables that are there end with its verdict, and only what is not reproduced is a 1.",
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
    """Compare corrected with plain runs: tables, figures, page, verdicts, claims of the paper.

    With --against: compare these records with another set of records of the same cells.
    """
    from agc.reports.tables.terminal import print_comparison
    from agc.reports.tables.write import load_comparison

    if show and source is not None:
        raise UserError("--show prints the tables that are there, --from draws new ones")
    loaded = load_grid(grid)
    made_by = "" if source else f"agc collect {shlex.quote(grid)}{elsewhere(results=results)}"
    if against is not None and not show:
        _check(source or results / loaded.name, against, loaded.file.margin, made_by)
        return
    out = reports / loaded.name
    if not show:
        _write(source or results / loaded.name, out, loaded, results, made_by)
    elif not (out / TABLE).is_file():
        tables = f"agc compare {shlex.quote(grid)}{elsewhere(results=results, reports=reports)}"
        raise UserError(f"no tables in {out}: `{tables}` writes them")
    console = make_console()
    print_comparison(load_comparison(out), console)
    if show:
        _next_steps(grid, loaded.name, results, out, console)
    if against is not None:
        _conclude(out, against, loaded.file.margin, console)


def _write(collected: Path, out: Path, grid: Grid, results: Path, made_by: str) -> None:
    from agc.reports.page import PREREGISTRATION
    from agc.reports.report import write_report
    from agc.reports.study import publish_study, read_study

    records, epochs = read_study(collected, made_by)
    named = (grid.name, grid.file.description, grid.file.margin, grid.learning_rates)
    told = collected if (collected / PREREGISTRATION).is_file() else out
    with Working("steps") as tell:
        comparison = write_report(
            records, epochs, out, *named, stages=grid.stages, beside=told, tell=tell
        )
        if grid.stages is None:
            write_page(grid, records, epochs, comparison, out, results)
        # Drawn from their own copy, the tables stay as they are.
        if collected.resolve() != out.resolve():
            publish_study(records, epochs, out)


def _check(here: Path, there: str, margin: Margin, made_by: str) -> None:
    from agc.reports.tables.against import print_check

    check = _judge(here, there, margin, made_by)
    print_check(check, str(here), there, make_console())
    if not check.holds:
        raise typer.Exit(1)


def _conclude(here: Path, there: str, margin: Margin, console: Console) -> None:
    """The verdict without its tables; runs that cannot tell are no fault of who shows them."""
    from agc.reports.against import NOT_REPRODUCED
    from agc.reports.tables.against import conclusion, head

    try:
        check = _judge(here, there, margin)
    except UserError as error:
        console.print(f"not checked against {there}: {error}", highlight=False, markup=False)
        return
    for line in (*head(check.same, str(here), there), conclusion(check)):
        console.print(line, highlight=False, markup=False)
    if check.word == NOT_REPRODUCED:
        raise typer.Exit(1)


def _judge(here: Path, there: str, margin: Margin, made_by: str = "") -> Check:
    from agc.reports.against import check_against
    from agc.reports.committed import study_folder
    from agc.reports.same_cells import match_cells
    from agc.reports.same_rows import MEASURES
    from agc.reports.study import read_study

    with Working("", text="the two sets are compared"), study_folder(there) as folder:
        same = match_cells(read_study(here, made_by), read_study(folder))
        return check_against(same, {name: getattr(margin, name) for name in MEASURES})


def _next_steps(grid: str, name: str, results: Path, out: Path, console: Console) -> None:
    from agc.reports.web.page import HTML
    from agc.tracking.server import is_empty
    from agc.tracking.store import default_uri

    page = out / HTML
    both = elsewhere(results=results, reports=out.parent)
    opens = f"MLflow: `agc track ui {shlex.quote(name)}{elsewhere(results=results)}`"
    fills = f"MLflow: `agc track sync {shlex.quote(grid)}{both}`"
    lines = [
        f"page: {page}" if page.exists() else f"page: `agc report {shlex.quote(grid)}{both}`",
        f"tables and figures: {out}/",
        fills if is_empty(default_uri(results)) else opens,
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
