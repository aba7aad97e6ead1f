"""All cells of a grid in two tables: one row a cell, and one row a cell and epoch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.machine.hardware import LIMITS
from agc.records.correct import Correct, read_correct
from agc.records.failure import describe_failure, read_failure
from agc.records.read import read_epochs, read_record
from agc.records.record import RESULT_KEYS, record_without_result
from agc.registry import DATASETS
from agc.reports.labels import label_cells, label_in_full
from agc.reports.study import write_study

WHOLE_NUMBERS = ("seed", "diverged_epoch", "final_epoch", "best_epoch", "weights", "active")
LATER_RESULTS = ("final_correct", "test_images")
PROVENANCE_KEYS = (
    "agc",
    "git_commit",
    "git_dirty",
    "python",
    "torch",
    "timm",
    "numpy",
    "torchattacks",
    "device",
    "hostname",
    "cpu",
    "threads",
    "started",
    "finished",
)
LATER_PROVENANCE = (
    *("cpu_vendor", "cpu_family", "cpu_model", "cpu_capability"),
    *("onednn", "mkl", "blas", "numpy_blas"),
    *(f"environment.{name}" for name in LIMITS),
    *("card.name", "card.driver", "card.cuda", "card.cudnn", "card.compute_capability"),
    *("card.tf32_matmul", "card.tf32_convolution", "card.peak_memory"),
)
"""What records came to tell later, or tell of some machines alone: a column only where one does.

A dot stands for an inner object; in the column's name it is an underscore.
"""


def collect(cell_folders: list[Path], out: Path, partial: bool = False) -> list[str]:
    """Write ``records.parquet`` and ``epochs.parquet`` of these cells into ``out``.

    Rows are sorted by slug, so the same cells give the same files in whatever order they come.

    Args:
        cell_folders: folders of the cells.
        out: folder of the tables, made if it does not exist.
        partial: give cells without a record a row that says why (:mod:`agc.records.failure`),
            where they are refused otherwise. Damaged records are always refused.

    Returns:
        The status of each row.

    Raises:
        UserError: a cell is unfinished, unreadable, of another version or invalid; the message
            names its file and the reason, and nothing is written.
    """
    import pandas as pd

    folders = sorted({folder.resolve() for folder in cell_folders}, key=lambda path: path.name)
    if not folders:
        raise UserError("no cells to collect")
    for one, other in pairwise(folders):
        if one.name == other.name:
            raise UserError(f"cell {one.name!r} is in two places: {one} and {other}")

    records, epochs = _read_all(folders, partial)
    labels = label_cells([record["cell"] for record in records])
    rows = [flat_row(record, label) for record, label in zip(records, labels, strict=True)]
    frame = pd.DataFrame(rows)
    later = [*map(_provenance_column, LATER_PROVENANCE), *LATER_RESULTS]
    frame = frame.drop(columns=[name for name in later if frame[name].isna().all()])
    whole = [name for name in (*WHOLE_NUMBERS, "test_images") if name in frame]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    frame = frame.astype({c: "string" for c in frame.columns if c.startswith("provenance_")})
    write_study(frame, pd.concat(epochs, ignore_index=True), out)
    return [record["status"] for record in records]


def flat_row(record: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """One record as one row: labels, status, results, costs, sparsity, seconds, provenance."""
    cell = record["cell"]
    row: dict[str, Any] = {"slug": record["slug"], **labels}
    row["correction_in_full"] = label_in_full(AXES["correction"], cell)
    row |= {"sparsity": cell["sparsity"], "seed": cell["seed"], "revision": cell["revision"]}
    row |= {"status": record["status"], "diverged_epoch": record["diverged_epoch"]}
    for which in ("final", "best"):
        result = record["results"][which] or {}
        row |= {f"{which}_{key}": result.get(key) for key in RESULT_KEYS}
    row |= _correct(None if _tested_by_seed(cell["dataset"]) else record.get("correct"))
    row |= record["costs"]
    row["target_sparsity"] = record["sparsity"]["target"]
    row["reached_sparsity"] = record["sparsity"]["reached"]
    row |= {key: record["sparsity"][key] for key in ("exploration_rate", "weights", "active")}
    row |= {f"seconds_{key}": value for key, value in record["seconds"].items()}
    for key in (*PROVENANCE_KEYS, *LATER_PROVENANCE):
        value = _told(record["provenance"], key)
        row[_provenance_column(key)] = None if value is None else str(value)
    row["warnings"] = "\n".join(record["warnings"])
    # A column that is empty in every cell would have no type: numbers are floats throughout.
    return {
        key: float("nan") if value is None and not _is_text(key) else value
        for key, value in row.items()
    }


def _correct(found: Correct | None) -> dict[str, Any]:
    """Which test images the last weights have right, an image a bit, and how many images."""
    if found is None:
        return dict.fromkeys(LATER_RESULTS)
    return {"final_correct": np.packbits(found.right).tobytes(), "test_images": len(found.right)}


def _tested_by_seed(dataset: dict[str, Any]) -> bool:
    """Whether other seeds of these cells have other test images: no image is in all of them."""
    if dataset["name"] not in DATASETS.names():
        return False
    option = DATASETS[dataset["name"]].facts.get("tested_by_seed")
    return option in dataset.get("options", {})


def _provenance_column(key: str) -> str:
    return f"provenance_{key.replace('.', '_')}"


def _told(provenance: dict[str, Any], key: str) -> Any:
    """What is told under a dotted name, None if it is not told."""
    block, _, inner = key.partition(".")
    value = provenance.get(block)
    return (value or {}).get(inner) if inner else value


def _is_text(column: str) -> bool:
    return column.startswith("provenance_") or column in (*WHOLE_NUMBERS, *LATER_RESULTS)


def _read_all(folders: list[Path], partial: bool) -> tuple[list[dict[str, Any]], list[Any]]:
    records, epochs, failures = [], [], []
    for folder in folders:
        try:
            if partial and not (folder / "record.json").exists():
                records.append(record_without_result(folder))
                continue
            record = _read_finished(folder)
            curve, correct = read_epochs(folder, record), read_correct(folder)
        except UserError as error:
            failures.append(str(error))
            continue
        name = record["cell"]["dataset"]["name"]
        if name in DATASETS.names() and DATASETS[name].facts.get("benchmark_only"):
            failures.append(f"{folder}: dataset {name!r} is made up, and belongs in no table")
            continue
        curve.insert(0, "slug", record["slug"])
        record["correct"] = correct
        records.append(record)
        epochs.append(curve)
    if failures:
        more = f" (and {len(failures) - 1} more cells cannot be collected)"
        raise UserError(failures[0] + (more if len(failures) > 1 else ""))
    if not epochs:
        raise UserError(f"none of {len(folders)} cells has a result")
    return records, epochs


def _read_finished(folder: Path) -> dict[str, Any]:
    """The record of a cell; the reason that it has none, if that is known."""
    failure = None if (folder / "record.json").exists() else read_failure(folder)
    if failure is not None:
        raise UserError(
            f"{folder.name}: {describe_failure(failure)}; run it again with more memory, or "
            "collect the others with --partial"
        )
    return read_record(folder)
