"""The record of a cell: what training and evaluation measured, merged into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agc.files import read_json, write_json
from agc.grids.cell import SCHEMA, read_cell
from agc.records.failure import UNFINISHED, describe_failure, read_failure
from agc.records.schema import required

TEST_KEYS = ("test_loss", "test_accuracy")
TRAINED_KEYS = ("epoch", "train_loss", "validation_loss", "validation_accuracy", *TEST_KEYS)
RESULT_KEYS = (*TRAINED_KEYS, "robust_accuracy")

# In the results of some cells: a robust selection, calibration, attacks on demand.
SELECTION_KEY = "validation_robust_accuracy"
EQUILIBRIUM_KEYS = ("residual", "iterations", "unconverged", "contraction")
"""Of equilibrium networks: how well their fixed points are solved."""
CELL_COSTS = ("cell_calls", "cell_vjps")
"""Of the same: what the training has cost so far."""
SOLVER_KEYS = ("robust_accuracy_pgd", "robust_accuracy_jiio", "solvers")
"""Of the same: what each of the two attacks finds."""
OPTIONAL_KEYS = (
    "calibration_error",
    "negative_log_likelihood",
    "brier_score",
    *SOLVER_KEYS,
    "attacks",
    "worst_case",
)


def write_record(folder: Path) -> None:
    """Write ``record.json`` from the other files of the cell's folder; it can always be rebuilt."""
    cell = read_json(folder / "cell.json")
    training = read_json(folder / "training.json")
    robustness = read_json(folder / "robustness.json")
    seconds = {**training["seconds"], "robust_evaluation": robustness["seconds"]}
    record = {
        "schema": SCHEMA,
        "slug": cell["slug"],
        "cell": cell["cell"],
        "status": training["status"],
        "diverged_epoch": training["diverged_epoch"],
        "results": {name: _result(name, training, robustness) for name in ("final", "best")},
        "costs": training["costs"],
        "sparsity": training["sparsity"],
        "seconds": {**seconds, "total": sum(seconds.values())},
        "provenance": training["provenance"],
        "warnings": training["warnings"],
    }
    write_json(folder / "record.json", record)


def record_without_result(folder: Path) -> dict[str, Any]:
    """What stands for the record of a cell that has none: its status, and empty results.

    It is not valid as a record, and never written as one.

    Raises:
        UserError: the folder has no whole ``cell.json``, or a damaged ``failure.json``.
    """
    cell, failure = read_cell(folder / "cell.json"), read_failure(folder)
    empty = {key: dict.fromkeys(required(key)) for key in ("costs", "sparsity", "seconds")}
    empty["sparsity"]["target"] = cell.sparsity
    return {
        "slug": cell.slug,
        "cell": cell.model_dump(mode="json"),
        "status": UNFINISHED if failure is None else failure["status"],
        "diverged_epoch": None,
        "results": {"final": None, "best": None},
        "provenance": {},
        "warnings": [] if failure is None else [describe_failure(failure)],
        **empty,
    }


def _result(
    name: str, training: dict[str, Any], robustness: dict[str, Any]
) -> dict[str, Any] | None:
    row = training[name]
    if row is None:
        return None
    result = {key: row[key] for key in TRAINED_KEYS}
    if SELECTION_KEY in row:
        result[SELECTION_KEY] = row[SELECTION_KEY]
    result |= {key: row[key] for key in EQUILIBRIUM_KEYS if key in row}
    attacked = robustness[name]
    optional = {key: attacked[key] for key in OPTIONAL_KEYS if key in attacked}
    return {**result, "robust_accuracy": attacked["robust_accuracy"], **optional}
