"""Reading one finished cell from its folder, and refusing what is truncated or inconsistent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.files import read_json
from agc.records.schema import validate_record

if TYPE_CHECKING:
    import pandas as pd

EPOCH_COLUMNS = (
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "sparsity",
    "exploration_rate",
    "mask_distance",
    "dead_neurons",
    "tau",
    "coefficient",
    "updates",
    "units",
    "flops",
    "steps",
)
# Of quantised cells alone.
BIT_COLUMNS = ("bit_flops", "bit_flops_published", "forward_bits", "backward_bits")
BIT_COLUMNS += ("loss_scatter", "loss_fall", "loss_threshold")
# Not every method explores and not every correction has a coefficient.
MAY_BE_EMPTY = {"exploration_rate", "mask_distance", "dead_neurons", "tau", "coefficient"}
# Files written before these were measured have no such column.
MAY_BE_MISSING = {"mask_distance", "dead_neurons", "cpu_seconds"}
# Measured at the last and the best epoch alone, where the cell says so.
TEST_COLUMNS = {"test_loss", "test_accuracy"}
LAYER_COLUMNS = (
    "epoch",
    "layer",
    "weights",
    "active",
    "explored",
    "changed",
    "neurons",
    "dead_neurons",
)
TIMING_COLUMNS = ("epoch", "train_seconds", "evaluation_seconds", "cpu_seconds")
"""The last: of both, seconds that the process was at work, on all of its threads."""


def read_record(folder: Path) -> dict[str, Any]:
    """Read and validate ``record.json`` of a cell's folder.

    Raises:
        UserError: it is missing, truncated, of another version, invalid, or of another cell.
    """
    path = folder / "record.json"
    record = read_json(path)
    validate_record(record, path)
    if record["slug"] != folder.name:
        raise UserError(f"{path} is the record of {record['slug']!r}, not of its folder's cell")
    return record


def read_epochs(folder: Path, record: dict[str, Any]) -> pd.DataFrame:
    """Read ``epochs.csv`` joined with ``timings.csv``: one row an epoch.

    Raises:
        UserError: a file is missing, truncated, or has not the epochs that the record tells of.
    """
    epochs = _read_table(folder / "epochs.csv", EPOCH_COLUMNS)
    finished = record["status"] == "finished"
    _check_rows(folder / "epochs.csv", epochs, _row_counts(record))
    if finished:
        rare = TEST_COLUMNS if record["cell"]["evaluation"].get("test") == "last" else set()
        _check_filled(folder / "epochs.csv", epochs, set(EPOCH_COLUMNS) - MAY_BE_EMPTY - rare)
        told = [result["epoch"] for result in record["results"].values() if result is not None]
        _check_filled(folder / "epochs.csv", epochs[epochs["epoch"].isin(told)], rare)
    timings = _read_table(folder / "timings.csv", TIMING_COLUMNS)
    if finished:
        _check_rows(folder / "timings.csv", timings, {len(epochs)})
        _check_filled(folder / "timings.csv", timings, set(TIMING_COLUMNS) - MAY_BE_MISSING)
    return epochs.merge(timings, on="epoch", how="left")


def _row_counts(record: dict[str, Any]) -> set[int]:
    if record["status"] == "finished":
        return {record["costs"]["epochs"]}
    # The epoch that diverged may have ended before its row was written.
    return {record["diverged_epoch"] - 1, record["diverged_epoch"]}


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not content.endswith(b"\n"):
        raise UserError(f"{path} is truncated: its last line has no end")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing and MAY_BE_MISSING.issuperset(missing):
        table = table.assign(**dict.fromkeys(missing, float("nan")))
    elif missing:
        raise UserError(f"{path} lacks the column {missing[0]!r}")
    columns = (*columns, *(column for column in BIT_COLUMNS if column in table.columns))
    table = table[list(columns)]
    try:
        return table.astype({column: "float64" for column in columns if column != "epoch"})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} has a value that is no number: {error}") from error


def _check_rows(path: Path, table: pd.DataFrame, allowed: set[int]) -> None:
    if len(table) not in allowed:
        wanted = " or ".join(str(count) for count in sorted(allowed))
        raise UserError(f"{path} has {len(table)} epochs where its record has {wanted}")
    if list(table["epoch"]) != list(range(1, len(table) + 1)):
        raise UserError(f"{path} does not count its epochs from 1 to {len(table)}")


def _check_filled(path: Path, table: pd.DataFrame, columns: set[str]) -> None:
    for column in sorted(columns):
        empty = table.loc[table[column].isna(), "epoch"]
        if len(empty):
            raise UserError(f"{path} has no {column} in epoch {empty.iloc[0]}")
