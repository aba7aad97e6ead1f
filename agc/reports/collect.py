"""All cells of a grid in two tables: one row a cell, and one row a cell and epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agc.errors import UserError
from agc.machine.hardware import LIMITS
from agc.records.correct import Correct, read_correct
from agc.records.failure import describe_failure, read_failure
from agc.records.read import read_epochs, read_record
from agc.records.record import (
    EQUILIBRIUM_KEYS,
    RESULT_KEYS,
    SOLVER_KEYS,
    record_without_result,
)
from agc.registry import DATASETS
from agc.reports.costs import PLANNED, read_predicted
from agc.reports.names import RATE, name_cells
from agc.reports.predictions import COURSE, TOLD, read_course
from agc.reports.solvers import EQUILIBRIUM
from agc.reports.study import write_study

if TYPE_CHECKING:
    import pandas as pd

Tell = Callable[[int, int, str], None]
WHOLE_NUMBERS = ("seed", "diverged_epoch", "final_epoch", "best_epoch", "weights", "active")
LATER_RESULTS = ("final_correct", "test_images", EQUILIBRIUM)
LATER_EPOCHS = ("cpu_seconds", COURSE)
"""The same of epochs; they tell of a run or of its prediction, and not of its result."""
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
    *("peak_memory", "disk"),
    *(f"planned.{name}" for name in PLANNED),
    *(f"forecast.{name}" for name in TOLD),
)
"""What records came to tell later, or tell of some machines alone: a column only where one does.

A dot stands for an inner object; in the column's name it is an underscore.
"""


def collect(
    cell_folders: list[Path],
    out: Path,
    partial: bool = False,
    rates_by_arm: Collection[str] = (),
    tell: Tell | None = None,
) -> list[str]:
    """Write ``records.parquet`` and ``epochs.parquet`` of these cells into ``out``.

    Rows are sorted by slug, so the same cells give the same files in whatever order they come.

    Args:
        cell_folders: folders of the cells.
        out: folder of the tables, made if it does not exist.
        partial: give cells without a record a row that says why (:mod:`agc.records.failure`),
            where they are refused otherwise. Damaged records are always refused.
        rates_by_arm: slugs of cells whose learning rate was chosen for their arm; see
            :func:`agc.reports.names.name_cells`.
        tell: called with the cells read, those to read, and the next one.

    Returns:
        The status of each row.

    Raises:
        UserError: a cell is unfinished, unreadable, of another version or invalid; the message
            names its file and the reason, and nothing is written.
    """
    records, epochs = read_cells(cell_folders, partial, tell)
    names = name_cells({record["slug"]: record["cell"] for record in records}, rates_by_arm)
    rows = [measured_row(record) for record in records]
    write_study(make_table(rows, names), join_epochs(epochs), out)
    return [record["status"] for record in records]


def read_cells(
    cell_folders: list[Path], partial: bool, tell: Tell | None = None
) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """Records of cells, with ``correct``, and the epochs of those that have a result, by slug.

    Raises:
        UserError: as :func:`collect`.
    """
    folders = sorted({folder.resolve() for folder in cell_folders}, key=lambda path: path.name)
    if not folders:
        raise UserError("no cells to collect")
    for one, other in pairwise(folders):
        if one.name == other.name:
            raise UserError(f"cell {one.name!r} is in two places: {one} and {other}")

    return _read_all(folders, partial, tell or (lambda done, total, text: None))


def make_table(rows: list[dict[str, Any]], names: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The table of cells.

    Args:
        rows: as of :func:`measured_row`.
        names: as of :func:`agc.reports.names.name_cells`.
    """
    import pandas as pd

    frame = pd.DataFrame([_named(row, names[row["slug"]]) for row in rows])
    later = [*map(provenance_column, LATER_PROVENANCE), *LATER_RESULTS]
    frame = frame.drop(columns=[name for name in later if frame[name].isna().all()])
    whole = [name for name in (*WHOLE_NUMBERS, "test_images") if name in frame]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    return frame.astype({c: "string" for c in frame.columns if c.startswith("provenance_")})


def join_epochs(curves: list[pd.DataFrame]) -> pd.DataFrame:
    """The table of epochs, from those of each cell."""
    import pandas as pd

    # A cell that diverged at once has no row, whose columns have no type to impose on the others.
    joined = pd.concat([curve for curve in curves if len(curve)] or curves, ignore_index=True)
    empty = [name for name in LATER_EPOCHS if name in joined and joined[name].isna().all()]
    return joined.drop(columns=empty)


def _named(row: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Names come first, but for the learning rate, which is a later column."""
    first = {key: value for key, value in names.items() if key != RATE}
    # Of a mapping with a key twice the first place counts, so the rate is put in last.
    return {**first, **row, **names}


def measured_row(record: dict[str, Any]) -> dict[str, Any]:
    """One record as one row: status, results, costs, sparsity, seconds, provenance."""
    cell = record["cell"]
    row: dict[str, Any] = {"slug": record["slug"]}
    row |= {"sparsity": cell["sparsity"], "seed": cell["seed"], "revision": cell["revision"]}
    row |= {"status": record["status"], "diverged_epoch": record["diverged_epoch"]}
    for which in ("final", "best"):
        result = record["results"][which] or {}
        row |= {f"{which}_{key}": result.get(key) for key in RESULT_KEYS}
    row |= _correct(None if _tested_by_seed(cell["dataset"]) else record.get("correct"))
    row[EQUILIBRIUM] = _equilibrium(record["results"]["final"] or {})
    row |= record["costs"]
    row["target_sparsity"] = record["sparsity"]["target"]
    row["reached_sparsity"] = record["sparsity"]["reached"]
    row |= {key: record["sparsity"][key] for key in ("exploration_rate", "weights", "active")}
    row |= {f"seconds_{key}": value for key, value in record["seconds"].items()}
    for key in (*PROVENANCE_KEYS, *LATER_PROVENANCE):
        value = _told(record["provenance"], key)
        row[provenance_column(key)] = None if value is None else str(value)
    row["warnings"] = "\n".join(record["warnings"])
    return {key: empty(key) if value is None else value for key, value in row.items()}


def empty(column: str) -> float | None:
    """What stands where a cell has no value in a column as of :func:`measured_row`."""
    # A column that is empty in every cell would have no type: numbers are floats throughout.
    text = column.startswith("provenance_") or column in (*WHOLE_NUMBERS, *LATER_RESULTS)
    return None if text else float("nan")


def _correct(found: Correct | None) -> dict[str, Any]:
    """Which test images the last weights have right, an image a bit, and how many images."""
    if found is None:
        return dict.fromkeys(LATER_RESULTS)
    return {"final_correct": np.packbits(found.right).tobytes(), "test_images": len(found.right)}


def _equilibrium(result: dict[str, Any]) -> str | None:
    """What a result says of an equilibrium network alone."""
    found = {key: result[key] for key in (*EQUILIBRIUM_KEYS, *SOLVER_KEYS) if key in result}
    return json.dumps(found, sort_keys=True) if found else None


def _tested_by_seed(dataset: dict[str, Any]) -> bool:
    """Whether other seeds of these cells have other test images: no image is in all of them."""
    if dataset["name"] not in DATASETS.names():
        return False
    option = DATASETS[dataset["name"]].facts.get("tested_by_seed")
    return option in dataset.get("options", {})


def provenance_column(key: str) -> str:
    """The column of a dotted name in the provenance."""
    return f"provenance_{key.replace('.', '_')}"


def _told(provenance: dict[str, Any], key: str) -> Any:
    """What is told under a dotted name, None if it is not told."""
    block, _, inner = key.partition(".")
    value = provenance.get(block)
    return (value or {}).get(inner) if inner else value


def _read_all(
    folders: list[Path], partial: bool, tell: Tell
) -> tuple[list[dict[str, Any]], list[Any]]:
    records, epochs, failures = [], [], []
    for done, folder in enumerate(folders):
        tell(done, len(folders), folder.name)
        try:
            if partial and not (folder / "record.json").exists():
                records.append(record_without_result(folder))
                continue
            record = _read_finished(folder)
            curve, correct = read_epochs(folder, record), read_correct(folder)
            predicted, course = read_course(folder, record["cell"])
            predicted |= read_predicted(folder)
        except UserError as error:
            failures.append(str(error))
            continue
        name = record["cell"]["dataset"]["name"]
        if name in DATASETS.names() and DATASETS[name].facts.get("benchmark_only"):
            failures.append(f"{folder}: dataset {name!r} is made up, and belongs in no table")
            continue
        curve.insert(0, "slug", record["slug"])
        if course:
            curve[COURSE] = course[: len(curve)]
        record["correct"] = correct
        record["provenance"] = {**record["provenance"], **predicted}
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
