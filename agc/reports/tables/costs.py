"""Predicted and measured cost, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.tables.formatting import MISSING, number, percent
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "What the plan predicted of the cells before they ran, from counted units and steps that were"
    " timed on the machine that planned, and what they took: sums over cells, of memory the"
    " largest. Error: median over cells of the relative error; ratio: median of predicted by"
    " measured. Within: share of cells in the plan's interval. Seconds of the clock count what else"
    " a machine did, and the imports of a process' first cell."
)
HEADER = ["what", "cells", "predicted", "measured", "error", "ratio", "within"]


def cost_table(found: pd.DataFrame) -> TextTable:
    """A row for each measure.

    Args:
        found: as of :func:`agc.reports.costs.compare_costs`.
    """
    rows = [
        [
            row["measure"],
            str(row["cells"]),
            number(row["predicted"]),
            number(row["measured"]),
            f"{percent(row['error'], 1)} %",
            f"{row['bias']:.2f}",
            MISSING
            if row["within"] is None or row["within"] != row["within"]
            else f"{percent(row['within'], 0)} %",
        ]
        for row in found.to_dict("records")
    ]
    return TextTable("Predicted cost", CAPTION, HEADER, rows)
