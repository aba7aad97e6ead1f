"""``agc status``: how far a grid is, asked from anywhere while it runs."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agc.commands.common import GridName, Results
from agc.errors import UserError
from agc.grids.grid import load_grid
from agc.status.survey import Survey
from agc.status.watch import QUIET, show_live, tell
from agc.status.words import as_dict, failures, one_line


def status(
    grid: GridName,
    results: Results = Path("results"),
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on until all cells are done: a bar on a terminal, elsewhere a line a minute.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show how many cells of a grid are done, running, failed or waiting, and the time left.

    It reads the cells' own files, so that any terminal or login node may ask, at any moment.
    """
    if watch and as_json:
        raise UserError("--json tells of one moment: leave out --watch")
    survey = Survey([load_grid(grid)], results)
    if watch:
        # Whoever watches stops when they have seen enough; nothing is interrupted by it.
        with suppress(KeyboardInterrupt):
            _watch(survey)
        return
    seen = survey.look(time.time())
    if as_json:
        print(json.dumps(as_dict(seen), indent=1))
        return
    for line in (one_line(seen), *failures(seen)):
        _say(line)


def _watch(survey: Survey) -> None:
    console = Console()
    if console.is_terminal:
        show_live(survey, console, _wait)
    else:
        for line in failures(tell(survey, _say, QUIET, _wait)):
            _say(line)


def _say(line: str) -> None:
    print(line, flush=True)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False
