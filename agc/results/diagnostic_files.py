"""What measuring a cell's gradients leaves behind: a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.cell import Cell
from agc.files import atomic_write_text

if TYPE_CHECKING:
    import pandas as pd


def write_diagnostics(cell: Cell, rows: list[dict[str, Any]], out: Path) -> pd.DataFrame:
    """Write ``diagnostics.csv`` and its figure into a folder; returns the table."""
    import pandas as pd

    from agc.results.diagnostic_figure import write_diagnostic_figure

    frame = pd.DataFrame([{"slug": cell.slug, **row} for row in rows])
    text = frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    atomic_write_text(out / "diagnostics.csv", text)
    write_diagnostic_figure(frame, diagnostics_title(cell), out)
    return frame


def diagnostics_title(cell: Cell) -> str:
    """The cell in words."""
    method = cell.method.name + (f" {100 * cell.sparsity:g} %" if cell.sparsity else "")
    axes = (cell.dataset, cell.architecture, cell.objective)
    names = [axis.name for axis in axes]
    return ", ".join([*names, method, cell.correction.name, f"seed {cell.seed}"])
