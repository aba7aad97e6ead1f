"""Made-up grids whose arms were trained for several budgets, with a planted ratio of epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.records import entry, write_cell

BUDGETS = {"none": (4, 8, 16, 32), "agc": (4, 8, 16), "placebo": (4, 8, 16)}
SPARSITIES = (0.95, 0.98)


def error_after(epochs: float) -> float:
    return 0.3 - 0.05 * np.log(epochs)


def ladder_grid(
    root: Path,
    ratio: float,
    seeds: int = 3,
    sd: float = 0.0,
    budgets: dict[str, tuple[int, ...]] = BUDGETS,
    sparsities: tuple[float, ...] = SPARSITIES,
) -> list[Path]:
    """Cells of which ``agc`` has the error of plain runs of 1 / ``ratio`` times its epochs."""
    rng = np.random.default_rng(0)
    folders = []
    for sparsity in sparsities:
        for correction, own in budgets.items():
            for epochs in own:
                for seed in range(seeds):
                    planned = epochs / ratio if correction == "agc" else epochs
                    error = error_after(planned) + sd * rng.normal()
                    cell = {"sparsity": sparsity, "seed": seed, "correction": entry(correction)}
                    folders.append(_cell(root, epochs, 1 - error, **cell))
    return folders


def _cell(root: Path, epochs: int, accuracy: float, **cell: Any) -> Path:
    curve = np.linspace(0.1, accuracy, epochs)
    units = {"none": 3.0, "agc": 9.0, "placebo": 3.0}[cell["correction"]["name"]]
    return write_cell(
        root,
        columns={
            "validation_accuracy": curve,
            "test_accuracy": curve,
            "units": units * np.arange(1, epochs + 1),
        },
        training={"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}},
        **cell,
    )
