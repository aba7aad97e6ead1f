"""The two tables of a report as files: a row for each cell, a row for each cell and epoch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.files import atomic_path
from agc.reports.compare import ACCURACIES
from agc.reports.machines import MACHINE
from agc.reports.sources import VERSIONS

if TYPE_CHECKING:
    import pandas as pd

RECORDS, EPOCHS = "records.parquet", "epochs.parquet"
UNPUBLISHED = ("provenance_hostname",)
"""Columns that stay where the cells were trained: nothing in a report is made of them."""

NEEDED = {
    RECORDS: (
        *("slug", "dataset", "architecture", "objective", "method", "sparsity", "correction"),
        *("recipe", "family", "seed", "revision", "status", "warnings"),
        *ACCURACIES.values(),
        *("epochs", "units", "units_per_epoch", "extra_tensors", "exploration_rate"),
        *("training_flops", "dense_training_flops", "inference_flops", "dense_inference_flops"),
        *("target_sparsity", "reached_sparsity", "seconds_train"),
        *(f"provenance_{key}" for key in (*VERSIONS, *MACHINE, "git_dirty", "started", "finished")),
    ),
    EPOCHS: (
        *("slug", "epoch", "validation_accuracy", "train_loss", "test_accuracy"),
        *("sparsity", "units", "train_seconds"),
    ),
}
"""The columns that tables and figures are made of; the others are for a reader's own questions."""


def write_study(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> None:
    """Write ``records.parquet`` and ``epochs.parquet`` into ``out``, made if it does not exist.

    No digit is lost, and the same tables give the same bytes.
    """
    with atomic_path(out / RECORDS) as first, atomic_path(out / EPOCHS) as last:
        _write(records, first)
        _write(epochs, last)


def publish_study(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> None:
    """Write both tables without what names a machine (``UNPUBLISHED``)."""
    write_study(records.drop(columns=list(UNPUBLISHED), errors="ignore"), epochs, out)


def read_study(folder: Path, made_by: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of ``folder``: a row for each cell, a row for each cell and epoch.

    Args:
        folder: of the tables.
        made_by: the command that makes them there, for the message; empty: nobody knows.

    Raises:
        UserError: a file is missing or no table of this kind; the message is one line.
    """
    return _read(folder / RECORDS, made_by), _read(folder / EPOCHS, made_by)


def _write(frame: pd.DataFrame, path: Path) -> None:
    # Measured numbers hardly repeat: a dictionary of them is larger than they are.
    repeated = [name for name in frame if 4 * frame[name].nunique() < len(frame)]
    text = list(frame.select_dtypes(["object", "string"]).columns)
    frame.to_parquet(
        path,
        index=False,
        compression="zstd",
        compression_level=19,
        write_statistics=False,
        use_dictionary=[name for name in frame if name in (*repeated, *text)],
    )


def _read(path: Path, made_by: str) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} does not exist" + (f"; `{made_by}` makes it" if made_by else ""))
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as a table: {reason}") from error
    for column in NEEDED[path.name]:
        if column not in frame:
            way = f"; `{made_by}` makes it anew" if made_by else ""
            raise UserError(f"{path} lacks the column {column!r}{way}")
    return frame
