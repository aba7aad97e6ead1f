"""Seeds that rows of a grid got later, because their intervals were wide: a file beside the grid's.

The grid's own file is a user's, with comments; this one is written by ``agc plan --extend``. It is
a part of the grid and belongs into the same repository: a row's seeds cannot be told without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from agc.errors import UserError, describe
from agc.files import read_json, write_json
from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Precision
from agc.places import checkout, home
from agc.registry import Strict

Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class AddedSeeds(Strict):
    """The file as it stands on the disk.

    Attributes:
        rule: what they were added by, in words.
        precision: the same as the grid had it then.
        rows: name of a row (:func:`row_name`), seeds that all of its arms got.
    """

    rule: str
    precision: Precision
    rows: dict[str, Seeds]


def seeds_path(grid: Path) -> Path:
    """Where the added seeds of a grid's file are."""
    return grid.with_name(f"{grid.stem}.seeds.json")


def row_name(cell: Cell, rate_by_arm: bool = False) -> str:
    """Name of the row that a cell belongs to: like a slug, unique, and the same for all arms.

    A row is all that is compared with each other: cells that have everything in common but the
    correction, the number of epochs and the seed, and the learning rate if that was chosen for
    each arm.
    """
    content = cell.model_dump(mode="json", exclude={"correction": True, "seed": True})
    del content["training"]["epochs"]
    # A change of code that changes results trains the row anew; it stays the same row.
    del content["revision"]
    if rate_by_arm:
        del content["training"]["optimizer"]["lr"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    names = {axis.name: axis.of(cell).name for axis in AXES.values() if axis.name != "correction"}
    parts = [name for axis, name in names.items() if AXES[axis].shows(name)]
    return ".".join([*parts, f"{cell.sparsity:g}", hashlib.sha256(text.encode()).hexdigest()[:8]])


def rows_of(cells: Iterable[Cell], rates_by_arm: bool = False) -> dict[str, list[Cell]]:
    """The cells of each row, by its name (``row_name``), both in the order that they come in."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(row_name(cell, rates_by_arm), []).append(cell)
    return rows


def arms_of(row: Iterable[Cell]) -> list[list[Cell]]:
    """The arms of a row: its cells that differ in nothing but the seed, together."""
    arms: dict[str, list[Cell]] = {}
    for cell in row:
        arms.setdefault(cell.model_dump_json(exclude={"seed"}), []).append(cell)
    return list(arms.values())


def read_added(grid: Path) -> AddedSeeds | None:
    """The seeds that a grid's rows got later; None where they got none.

    Raises:
        UserError: the file is damaged, or has an unknown key or an impossible value.
    """
    path = seeds_path(grid)
    if not path.exists():
        return None
    try:
        return AddedSeeds.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from error


def added_cells(grid: Path, cells: Iterable[Cell], rates_by_arm: bool = False) -> list[Cell]:
    """The cells that the added seeds make: every arm of their rows with each of them.

    Args:
        grid: the grid's file.
        cells: what the grid has by itself.
        rates_by_arm: their learning rates were chosen for each arm.

    Raises:
        UserError: a row that the grid does not have.
    """
    added = read_added(grid)
    if added is None:
        return []
    rows = rows_of(cells, rates_by_arm)
    found = []
    for name, seeds in added.rows.items():
        if name not in rows:
            raise UserError(
                f"{seeds_path(grid)}: {grid.name} has no row {name!r}: its recipe or its axes "
                f"have changed since; take the row out of the file (rows: {', '.join(rows)})"
            )
        for arm in arms_of(rows[name]):
            content = arm[0].model_dump(mode="json")
            found += [make_cell({**content, "seed": seed}, str(seeds_path(grid))) for seed in seeds]
    return found


def write_added(grid: Path, precision: Precision, rows: dict[str, list[int]]) -> Path:
    """Add seeds to those that are there already, and return the file's path.

    Raises:
        UserError: what is there was added by another rule, the grid is the package's own, or its
            folder cannot be written.
    """
    path = seeds_path(grid)
    if checkout() is None and home() in grid.resolve().parents:
        raise UserError(f"{grid} is the package's own: copy it into workflows/grids/ first")
    before = read_added(grid)
    if before is not None and before.precision != precision:
        raise UserError(
            f"{path}: its seeds were added by another rule ({before.precision}) than that of "
            f"{grid.name} ({precision}); a rule that changes with the results keeps no interval "
            "honest"
        )
    total = dict(before.rows) if before else {}
    for name, seeds in rows.items():
        total[name] = sorted({*total.get(name, []), *seeds})
    content = AddedSeeds(rule=precision.rule, precision=precision, rows=total)
    write_json(path, content.model_dump(mode="json"))
    return path
