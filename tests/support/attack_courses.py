"""A study of equilibrium networks with planted losses and calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.records import collected, entry, write_cell

SEEDS = 3
CALLS = {"pgd": 25, "jiio": 1}
REACHED = {"rigl": 40, "static": 80}
"""Iterations of JIIO with which each method's networks have PGD-20's loss."""


def course(method: str, seed: int) -> list[dict[str, Any]]:
    rows = []
    for solver, steps in (("pgd", 5), ("pgd", 20), ("jiio", 20), ("jiio", 40), ("jiio", 80)):
        loss = 2.0 + 0.01 * seed - 0.5 * (solver == "pgd" and steps == 5)
        if solver == "jiio":
            loss += 0.1 if steps >= REACHED[method] else -0.1 - 0.001 * seed
        calls = steps * CALLS[solver]
        measured = {"accuracy": 0.4, "cell_calls": calls, "cell_vjps": calls, "unconverged": 0.25}
        rows.append({"solver": solver, "steps": steps, "loss": loss} | measured)
    return rows


def attacked_study(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two methods at 90 %, plain and corrected, three seeds; and a cell of another network."""
    folders = []
    for method in ("rigl", "static"):
        for correction in ("none", "agc"):
            for seed in range(SEEDS):
                fields = {"method": entry(method), "correction": entry(correction), "seed": seed}
                folder = write_cell(root, architecture=entry("deq_tiny"), sparsity=0.9, **fields)
                path = folder / "record.json"
                record = json.loads(path.read_text())
                record["results"]["final"] |= {
                    "robust_accuracy_pgd": 0.5,
                    "robust_accuracy_jiio": 0.4 + 0.01 * seed,
                    "residual": 1e-7,
                    "iterations": 8.0 + seed,
                    "unconverged": seed,
                    "contraction": 0.95,
                    "solvers": course(method, seed),
                }
                record["costs"] |= {"cell_calls": 400, "cell_vjps": 300}
                path.write_text(json.dumps(record))
                folders.append(folder)
    folders.append(write_cell(root, seed=0, correction=entry("none")))  # of another network
    return collected(folders, root / "tables")
