"""What fewer bits cost: final test accuracy against training FLOPs weighted with bits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agc.reports.figures.entries import (
    Looks,
    add_point,
    draw_entries,
    finished_entries,
    titled,
)
from agc.reports.labels import panel_keys

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS = "quantization"
WIDTHS = re.compile(r"\b(?:bits|forward|backward)=(\d+)(?:, )?")
"""Options that are bit widths: numbers beside a point, and no part of its marker."""


def draw_bit_flops(records: pd.DataFrame) -> list[Figure]:
    """A panel for each method × sparsity, and what else is not the quantization.

    A point is the mean of an arm with its 95 % interval: its colour is the entry's, its marker that
    of options that are no bit widths; those stand beside it. Whatever is not quantised counts in
    full, and a run without quantization has the FLOPs of float32.

    Args:
        records: a row for each cell, as collected.

    Returns:
        One figure, or none where no run is quantised.
    """
    if AXIS not in records or "bit_flops" not in records:
        return []
    cells = finished_entries(records, AXIS)
    spent = cells["bit_flops"].fillna(cells["training_flops"])
    cells = cells.assign(
        options=cells["options"].map(_unwidened), share=spent / cells["dense_training_flops"]
    )
    panels = titled(cells, panel_keys(records.columns, AXIS), _has_several)
    if not panels:
        return []
    figure = draw_entries(
        panels,
        AXIS,
        _draw_panel,
        panel=(3.1, 3.0),
        least=5.2,
        sharey=False,
        below="training FLOPs weighted with bits, as a share of dense float32; beside points: bits",
        title="Accuracy by bit-weighted FLOPs",
    )
    return [figure]


def _unwidened(options: str) -> str:
    return WIDTHS.sub("", options).removesuffix(", ")


def _has_several(cells: pd.DataFrame) -> bool:
    return cells["label"].nunique() > 1 and cells["bit_flops"].notna().any()


def _draw_panel(axis: Axes, cells: pd.DataFrame, looks: Looks) -> None:
    for label, runs in cells.groupby("label", sort=True):
        place = runs["share"].mean()
        mean = add_point(axis, runs, place, looks)
        text = "/".join(sorted(set(WIDTHS.findall(label))))
        axis.annotate(text, (place, mean), (3, 2), textcoords="offset points", fontsize=6)
