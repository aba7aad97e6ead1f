"""Runs whose bits rise when the training loss says so, and what each rule made of that loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.labels import labels_of, panel_keys

if TYPE_CHECKING:
    import pandas as pd

AXIS = "quantization"
SEEN = {"scatter": "loss_scatter", "fall": "loss_fall"}
"""What each of two rules asks for: the published one, and ours."""
THRESHOLD = "loss_threshold"


def stage_runs(records: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """A row for each epoch of each finished run whose stages the loss decides on.

    Beside ``slug``, ``label`` and what makes a row of a grid: ``epoch``, ``train_loss``,
    ``forward_bits``, and ``scatter`` and ``fall`` of the loss before it, as multiples of the
    threshold: a rule goes on where its own is at most 1. NaN where nothing was asked.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
    """
    if AXIS not in records or THRESHOLD not in epochs:
        return epochs.head(0)
    told = epochs[epochs[THRESHOLD].notna()]
    cells = records[records["slug"].isin(told["slug"]) & (records["status"] == "finished")]
    keys = panel_keys(records.columns, AXIS)
    curves = epochs[["slug", "epoch", "train_loss", "forward_bits"]].assign(
        **{name: epochs[column] / epochs[THRESHOLD] for name, column in SEEN.items()}
    )
    named = cells.assign(label=labels_of(cells, AXIS))[["slug", "label", *keys]]
    return named.merge(curves, on="slug")
