"""What no quantization can be combined with, known before a cell is built."""

from __future__ import annotations

from typing import Any

from agc.registry import Entry


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why ``cell`` cannot be quantised by an entry, or None."""
    if entry.name == "none":
        return None
    if cell.training.precision != "float32":
        return (
            "its grids are finer than the numbers of training.precision "
            f"{cell.training.precision!r}; it needs 'float32'"
        )
    return None
