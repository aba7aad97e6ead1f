"""``agc readme``: the generated blocks of Markdown pages."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from agc.commands.working import Working
from agc.files import atomic_write_text

PAGES = (Path("README.md"), Path("reports/README.md"), Path("reports/gpu/README.md"))


def readme(
    pages: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Markdown pages; without, README.md and those of reports/."
        ),
    ] = None,
    reports: Annotated[Path, typer.Option("--reports", help="Folder of the reports.")] = Path(
        "reports"
    ),
    check: Annotated[
        bool,
        typer.Option("--check", help="Only show what is stale; exit code 1 if something is."),
    ] = False,
) -> None:
    """Write the generated blocks of README.md and of the pages of reports/ anew, from reports/*/.

    A block stands between the lines <!-- agc:NAME ARGUMENT ... --> and <!-- /agc -->.
    """
    from agc.reports.blocks import rewritten

    # All are made before one is written: a page whose data are missing leaves the others alone.
    given, made = list(pages or PAGES), []
    with Working("pages") as tell:
        for page in given:
            tell(len(made), len(given), str(page))
            made.append((page, *rewritten(page, reports)))
    stale = [(page, old, new) for page, old, new in made if old != new]
    for page, old, new in stale:
        if check:
            lines = unified_diff(
                old.splitlines(), new.splitlines(), str(page), f"{page} (made anew)", lineterm=""
            )
            typer.echo("\n".join(lines))
        else:
            atomic_write_text(page, new)
            typer.echo(f"{page}: written anew")
    if stale and check:
        raise typer.Exit(1)
