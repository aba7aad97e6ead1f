"""Two sets of records of the same made-up cells, one of them drawn anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.records import collected, entry, write_cell

Study = tuple[pd.DataFrame, pd.DataFrame]
ROWS = (("rigl", 0.9), ("rigl", 0.95), ("set", 0.9), ("set", 0.95))


def first_set(root: Path, seeds: int = 5, objective: str = "standard") -> Study:
    """Plain runs and those of a correction in four rows, as collected."""
    folders = [
        write_cell(
            root / "cells",
            objective=entry(objective),
            method=entry(method),
            sparsity=sparsity,
            correction=entry(correction),
            seed=seed,
        )
        for method, sparsity in ROWS
        for correction in ("none", "agc")
        for seed in range(seeds)
    ]
    records, epochs = collected(folders, root / "first")
    return drawn(records, 0), epochs


def drawn(
    records: pd.DataFrame, draw: int, sd: float = 0.002, shift: float = 0.0, effect: float = 0.0
) -> pd.DataFrame:
    """The same cells with accuracies drawn anew around 0.9.

    Args:
        records: of the cells.
        draw: seed of the draw.
        sd: of each accuracy, clean and robust.
        shift: added to all of them.
        effect: added to those of corrected runs.
    """
    rng = np.random.default_rng(draw)
    level = 0.9 + shift + effect * (records["correction"] != "none")
    noise = rng.normal(0, sd, (2, len(records)))
    return records.assign(
        final_test_accuracy=level + noise[0], final_robust_accuracy=level + noise[1]
    )
