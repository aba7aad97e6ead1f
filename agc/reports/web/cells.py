"""A table of all cells of a grid, each with the way to its folder, its log and its run."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, number, percent, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.web.tables import html_table

if TYPE_CHECKING:
    import pandas as pd

Links = Mapping[str, Mapping[str, str]]
"""Of each cell, by its slug: words and the addresses that they lead to."""

CAPTION = (
    "Each cell with its accuracies in percent: after the last epoch, at the epoch that the"
    " validation images choose, and under attack after the last epoch."
)


def cell_table(records: pd.DataFrame, links: Links) -> str:
    """All cells, one line each.

    Args:
        records: a row for each cell, as collected.
        links: where a cell's files and its run are, of those cells that have some.
    """
    keys = [key for key in (*task_columns(records.columns), "recipe") if records[key].nunique() > 1]
    names = ["method", "sparsity", "correction", *keys]
    header = [*names, "seed", "status", "last", "best", "robust", "units", "seconds", "more"]
    rows = [
        [
            row["method"],
            sparsity(row["sparsity"]),
            row["correction"],
            *(row[key] for key in keys),
            str(row["seed"]),
            row["status"],
            percent(row["final_test_accuracy"]),
            percent(row["best_test_accuracy"]),
            percent(row["final_robust_accuracy"]),
            number(row["units"]),
            number(row["seconds_train"]),
            _ways(row["slug"], links.get(row["slug"], {})),
        ]
        for row in records.sort_values([*names, "seed"], kind="stable").to_dict("records")
    ]
    table = TextTable("Cells", CAPTION, header, rows, labels=len(names) + 2)
    return html_table(table, raw=(len(header) - 1,))


def _ways(slug: str, ways: Mapping[str, str]) -> str:
    if not ways:
        return MISSING
    return " ".join(
        f'<a href="{html.escape(way, quote=True)}" aria-label="{html.escape(f"{word} of {slug}")}">'
        f"{html.escape(word)}</a>"
        for word, way in ways.items()
    )
