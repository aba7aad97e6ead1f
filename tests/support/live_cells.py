"""Logs finished cells epoch by epoch as a training would: ``python -m … GRID URI ROOT CELL...``."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from agc.tracking.live import Live
from tests.support.waiting import HANG


def log_cells(grid: str, uri: str, root: Path, cells: list[Path], last: int | None = None) -> None:
    """Send the epochs up to ``last`` of each cell's history through the live view."""
    # A writer that is slow because sixteen start at once is not what is tested.
    with Live(grid, uri, root, HANG) as view:
        for cell in cells:
            view.cell(cell)
            for row in read_rows(cell)[:last]:
                view.epoch(row)


def read_rows(cell: Path) -> list[dict[str, Any]]:
    """Epochs of a finished cell, with numbers as a training hands them on."""
    with (cell / "epochs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {k: int(v) if k == "epoch" else float(v) if v else None for k, v in row.items()}
        for row in rows
    ]


if __name__ == "__main__":
    name, store, folder, *paths = sys.argv[1:]
    log_cells(name, store, Path(folder), [Path(path) for path in paths])
