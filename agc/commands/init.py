"""``agc init``: a project folder for whoever has no checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
) -> None:
    """Lay a project: Snakefile, configuration, profiles, and an example grid with its recipe.

    Its Snakefile uses the workflow of the installed agc, so an upgrade of agc upgrades it. Grids
    and recipes are looked for in the project's workflows/ first, then in agc.
    """
    from agc.grids.project import GRID, lay_project

    lay_project(folder)
    typer.echo(f"{folder}: a project with the grid {GRID!r}; in it: snakemake --cores 2")
