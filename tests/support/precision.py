"""A small grid with a rule on precision, and records made up for its cells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from agc.grids.cell import Cell
from agc.planning.declared import units
from agc.reports.labels import label_cells

GRID: dict[str, Any] = {
    "description": "a test",
    "recipe": "digits",
    "datasets": ["digits"],
    "architectures": ["resnet8"],
    "objectives": ["standard"],
    "methods": ["rigl", "set"],
    "sparsities": [0.9, 0.95],
    "corrections": ["none", "agc"],
    "seeds": 5,
    "precision": {"half_width": 0.5},
}


def write_grid_file(folder: Path, **changes: Any) -> Path:
    """The grid as ``folder``/test.yaml, with changes; a change to None removes a key."""
    kept = {key: value for key, value in (GRID | changes).items() if value is not None}
    path = folder / "test.yaml"
    path.write_text(f"# a comment of the user\n{yaml.safe_dump(kept)}")
    return path


def make_records(cells: Iterable[Cell], sd: float = 0.01, seed: int = 0) -> pd.DataFrame:
    """Records with what the rule reads: accuracies with this spread, each cell's own draw."""
    cells = list(cells)
    labels = label_cells([cell.model_dump(mode="json") for cell in cells])
    lines = []
    for cell, label in zip(cells, labels, strict=True):
        draws = np.random.default_rng([seed, *cell.slug.encode()]).normal(0.8, sd, 2)
        measured = {"final_test_accuracy": draws[0], "final_robust_accuracy": draws[1]}
        given = {"slug": cell.slug, "sparsity": cell.sparsity, "seed": cell.seed}
        cost = {"epochs": cell.training.epochs, "units": units(cell), "status": "finished"}
        lines.append({**label, **given, **cost, **measured})
    return pd.DataFrame(lines)
