"""Moments of gradients of several cells in one table, for what a study says of mechanisms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.files import atomic_write_text
from agc.grids.axes import AXES
from agc.grids.cell import Cell
from agc.reports.labels import label_in_full

if TYPE_CHECKING:
    import pandas as pd

FILE = "gradients.csv"
LABELS = ("slug", "method", "sparsity", "correction", "seed")
NEEDED = (*LABELS, "epoch", "ratio_used", "correlation")


def add_cell(path: Path, cell: Cell, rows: pd.DataFrame) -> None:
    """Put a cell's moments into a table, made if it is not there; in place of older ones of it.

    Args:
        path: of the table.
        cell: whose they are.
        rows: what ``agc diagnose`` writes of it.

    Raises:
        UserError: what is there is no such table.
    """
    import pandas as pd

    described = cell.model_dump(mode="json")
    labels = {
        "slug": cell.slug,
        "method": cell.method.name,
        "sparsity": cell.sparsity,
        "correction": label_in_full(AXES["correction"], described),
        "seed": cell.seed,
    }
    own = rows.drop(columns=[name for name in labels if name in rows])
    own = pd.concat([pd.DataFrame([labels] * len(own), index=own.index), own], axis=1)
    if path.exists():
        older = _read(path)
        own = pd.concat([older[older["slug"] != cell.slug], own], ignore_index=True)
    own = own.sort_values(["slug"], kind="stable")
    text = own.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    atomic_write_text(path, text)


def read_gradients(folder: Path) -> pd.DataFrame | None:
    """The table of a report's folder; None if it has none.

    Raises:
        UserError: it cannot be read, or lacks a column.
    """
    path = folder / FILE
    return _read(path) if path.exists() else None


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        found = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from error
    for name in NEEDED:
        if name not in found:
            raise UserError(
                f"{path} has no column {name!r}: `agc diagnose CELL --append {path}` writes it"
            )
    return found
