"""Predicted and measured steps to a loss, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.dynamics.steps import TARGETS
from agc.reports.tables.formatting import MISSING, number, percent, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.tables.systems import read_systems

if TYPE_CHECKING:
    import pandas as pd

SYSTEM = "predicting training time"
"""Of the table of systems."""

HEADING = "Predicted and measured steps to a loss"
CAPTION = (
    "From the linearised dynamics of each cell's network at its first weights, against its own"
    " training: steps to {targets} of the first loss, read in the same way from the mean losses of"
    " epochs, predicted and measured. The method is a reconstruction: of its paper ({source}) the"
    " abstract and the first page could be read, which claim {claim}. Asked: cells × targets; both:"
    " reached in both, which errors are of; only predicted, only measured: reached in one. Error:"
    " median of the relative errors, worst the largest; ratio: median of predicted by measured;"
    " rank: Spearman's correlation. Cost: processor seconds of the trainings, with what is measured"
    " after their epochs, by those of their predictions, which take as long for a training of any"
    " length. Refused: cells outside of the method's"
    " domain, by reason below."
)
HEADER = [
    *("start", "network", "cells", "refused", "asked", "both", "only predicted", "only measured"),
    *("error", "worst", "ratio", "rank", "cost"),
]


def prediction_table(summary: pd.DataFrame) -> TextTable:
    """A row for each start and network, and one for all.

    Args:
        summary: as of :func:`agc.reports.predictions.summarize`.
    """
    (line,) = [line for line in read_systems() if line["system"] == SYSTEM]
    targets = ", ".join(f"{share:g}" for share in TARGETS)
    caption = CAPTION.format(targets=targets, source=line["source"], claim=line["claim"])
    rows = [_cells(row) for row in summary.to_dict("records")]
    return TextTable(HEADING, caption, HEADER, rows, labels=2)


def refusal_lines(table: pd.DataFrame) -> list[str]:
    """Each reason for which cells have no prediction, with the number of cells.

    Args:
        table: as of :func:`agc.reports.predictions.steps_table`.
    """
    refused = table[table["refused"] != ""]
    counts = refused.drop_duplicates("slug")["refused"].value_counts(sort=False)
    return [f"{count} cells: {reason}" for reason, count in sorted(counts.items())]


def found_here(summary: pd.DataFrame) -> str:
    """What all predictions together came to, in one line."""
    whole = summary[summary["start"] == "all"]
    if whole.empty or not whole["both"].iloc[0]:
        return "nothing was predicted"
    row = whole.iloc[0]
    return (
        f"median error {percent(row['error'], 0)} % of {row['both']:.0f} numbers of steps, rank"
        f" correlation {row['rank']:.2f}; trainings took {row['cost']:.2g} times as long as their"
        " predictions"
    )


def _cells(row: dict[str, Any]) -> list[str]:
    network = row["method"]
    if row["sparsity"] == row["sparsity"] and row["sparsity"]:
        network += f" {sparsity(row['sparsity'])}"
    counts = ("cells", "refused", "asked", "both", "predicted", "measured")
    return [
        row["start"],
        network or MISSING,
        *(number(row.get(name, float("nan")), 0) for name in counts),
        *(_percent(row.get(name)) for name in ("error", "worst")),
        *(_plain(row.get(name)) for name in ("ratio", "rank", "cost")),
    ]


def _percent(value: Any) -> str:
    return MISSING if value is None or value != value else f"{percent(value, 0)} %"


def _plain(value: Any) -> str:
    return MISSING if value is None or value != value else f"{value:.2f}"
