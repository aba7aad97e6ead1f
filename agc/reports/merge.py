"""Tables of one grid whose cells were collected in parts, on other machines or at other times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import Cell
from agc.records.failure import UNFINISHED, WITHOUT_RESULT, read_failure
from agc.records.record import RESULT_KEYS
from agc.reports.collect import (
    LATER_EPOCHS,
    LATER_PROVENANCE,
    LATER_RESULTS,
    PROVENANCE_KEYS,
    empty,
    join_epochs,
    make_table,
    measured_row,
    provenance_column,
    read_cells,
)
from agc.reports.machines import count_draws
from agc.reports.names import RATE, name_cells
from agc.reports.study import UNPUBLISHED, read_study, write_study

if TYPE_CHECKING:
    import pandas as pd

NAMES = (*AXES, "recipe", "family", "correction_in_full", RATE)
"""Columns that depend on which cells are together, and are made anew."""
COUNTS = ("epochs", "steps", "gradient_evaluations")
"""Whole numbers of every result, but floats in a table that has a cell without one."""


@dataclass(frozen=True)
class Part:
    """Cells of a grid that were collected together.

    Attributes:
        where: the folder that they are from.
        rows: of cells with a result, by slug, as of :func:`agc.reports.collect.measured_row`.
        epochs: of these, by slug; without a row of a cell that diverged at once.
        lacking: statuses of cells without a result, by slug.
    """

    where: Path
    rows: dict[str, dict[str, Any]]
    epochs: dict[str, pd.DataFrame]
    lacking: dict[str, str]


def merge(
    cells: Sequence[Cell],
    parts: Sequence[Path],
    results: Path,
    out: Path,
    *,
    mixed: bool = False,
    rates_by_arm: Collection[str] = (),
) -> list[str]:
    """Write the tables of all cells that are in one of the parts or finished in ``results``.

    They are what :func:`agc.reports.collect.collect` writes of the same cells in one folder, to
    the byte. Of a cell that is there several times the one of the part named first is taken.

    Args:
        cells: of the grid.
        parts: folders with ``records.parquet`` and ``epochs.parquet``.
        results: folder of the cells' folders.
        out: folder of the tables, made if it does not exist.
        mixed: take cells of several instruction sets or cards.
        rates_by_arm: slugs of cells whose learning rate was chosen for their arm.

    Returns:
        The status of each cell of the grid; those without a result are in no table.

    Raises:
        UserError: a part cannot be read, has a cell that is none of the grid's or has it twice;
            two parts differ in a cell's results; cells are of several instruction sets or cards.
            Nothing is written then.
    """
    known = {cell.slug: cell for cell in cells}
    found = [*(_read_part(folder, known) for folder in parts), _finished(results, known)]
    rows: dict[str, dict[str, Any]] = {}
    epochs: dict[str, pd.DataFrame] = {}
    for place, part in enumerate(found):
        for slug in sorted(part.rows.keys() & rows.keys()):
            first = next(other for other in found[:place] if slug in other.rows)
            _refuse_other_results(slug, first, part)
        rows = part.rows | rows
        epochs = part.epochs | epochs
    if not rows:
        raise UserError(f"none of {len(known)} cells has a result, here or in what is merged")
    slugs = sorted(rows)
    content = {slug: known[slug].model_dump(mode="json") for slug in slugs}
    columns = _in_order([key for slug in slugs for key in rows[slug]])
    names = name_cells(content, rates_by_arm)
    table = make_table([_whole(rows[slug], columns) for slug in slugs], names)
    table = table.drop(columns=[name for name in UNPUBLISHED if table[name].isna().all()])
    draws = count_draws(table)
    if len(draws) > 1 and not mixed:
        each = " and ".join(f"{count} of {name}" for name, count in draws.items())
        raise UserError(
            f"cells of several instruction sets or cards are different draws, and here are {each}: "
            "merge those of one, or all of them with --mixed"
        )
    write_study(table, join_epochs([epochs[slug] for slug in slugs]), out)
    lacking = {slug: why for part in reversed(found) for slug, why in part.lacking.items()}
    return [rows[slug]["status"] if slug in rows else lacking[slug] for slug in known]


def _read_part(folder: Path, known: Mapping[str, Cell]) -> Part:
    records, epochs = read_study(folder)
    for slug in records["slug"]:
        if slug not in known:
            raise UserError(f"{folder}: {slug} is no cell of this grid")
    if twice := list(records.loc[records["slug"].duplicated(), "slug"]):
        raise UserError(
            f"{folder} has two rows for {twice[0]}; where it was made, make it anew:"
            " `agc collect GRID`"
        )
    measured = records.drop(columns=[name for name in NAMES if name in records])
    # A missing value is one of several kinds in a table, and none in a row.
    values = measured.astype(object).where(measured.notna(), None).to_dict("records")
    lacking = {row["slug"]: row["status"] for row in values if row["status"] in WITHOUT_RESULT}
    rows = {row["slug"]: row for row in values if row["slug"] not in lacking}
    curves = {str(slug): curve for slug, curve in epochs.groupby("slug", sort=False)}
    none = epochs.iloc[:0]
    return Part(folder, rows, {slug: curves.get(slug, none) for slug in rows}, lacking)


def _finished(results: Path, known: Mapping[str, Cell]) -> Part:
    """The cells that are finished in a folder of cells; the others lack a result."""
    folders = {slug: results / slug for slug in known}
    done = [folder for folder in folders.values() if (folder / "record.json").exists()]
    records, curves = read_cells(done, partial=False) if done else ([], [])
    rows = {record["slug"]: measured_row(record) for record in records}
    epochs = dict(zip(rows, curves, strict=True))
    failures = {slug: read_failure(folders[slug]) for slug in known if slug not in rows}
    lacking = {slug: why["status"] if why else UNFINISHED for slug, why in failures.items()}
    return Part(results, rows, epochs, lacking)


def _refuse_other_results(slug: str, one: Part, other: Part) -> None:
    """Refuse results of a cell that are not the same; what only one of them tells is no matter."""
    first, last = one.rows[slug], other.rows[slug]
    differing = [key for key in first if key in last and not _same(first[key], last[key])]
    mine, theirs = one.epochs[slug], other.epochs[slug]
    if len(mine) != len(theirs):
        differing.append("epoch")
    else:
        pairs = ((key, mine[key].tolist(), theirs[key].tolist()) for key in mine if key in theirs)
        differing += [key for key, a, b in pairs if not all(map(_same, a, b))]
    wrong = next((key for key in differing if not _is_of_the_run(key)), None)
    if wrong is not None:
        raise UserError(f"{slug}: {wrong} in {one.where} is not that in {other.where}")


def _same(one: Any, other: Any) -> bool:
    return one == other or (_is_missing(one) and _is_missing(other))


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _is_of_the_run(column: str) -> bool:
    """Whether a column tells of a run's time or machine, and not of its result."""
    timed = column.startswith(("seconds_", "provenance_")) or column.endswith("_seconds")
    return timed or column in LATER_EPOCHS


def _whole(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A row with all columns, each value of the kind that it has in a cell's own row."""
    values = {key: row.get(key) for key in columns}
    values |= {key: int(row[key]) for key in COUNTS}
    return {key: empty(key) if _is_missing(value) else value for key, value in values.items()}


def _in_order(columns: Sequence[str]) -> list[str]:
    """All columns of a cell's row in their order, from those that tables of parts have."""
    provenance = [provenance_column(key) for key in (*PROVENANCE_KEYS, *LATER_PROVENANCE)]
    last = ("warnings",)
    others = dict.fromkeys(columns).keys() - {*provenance, *LATER_RESULTS, *last}
    ordered = [key for key in dict.fromkeys(columns) if key in others]
    place = ordered.index(f"best_{RESULT_KEYS[-1]}") + 1
    return [*ordered[:place], *LATER_RESULTS, *ordered[place:], *provenance, *last]
