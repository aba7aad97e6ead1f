"""Sparse-training methods side by side, without correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, accuracy, number, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3
"""Fewer methods than this are no table of methods."""
ACCURACY_CAPTION = (
    "Plain runs: final test accuracy in percent, mean ± sample standard deviation over seeds."
    " Largest mean at the highest sparsity first, which ranks no neighbours."
)
COST_CAPTION = (
    "Plain runs. FLOPs of training and of inference relative to dense, weighted with the active"
    " weights; dense gradients and other passes of the method are included. R_s: share of weights"
    " that were ever active. Robust: final accuracy under the grid's attack, percent."
)


def method_tables(main: pd.DataFrame) -> list[TextTable]:
    """Accuracy by method and sparsity, and what each costs; none if there are few methods."""
    tables = []
    keys = [*task_columns(main.columns), "recipe"]
    plain = main[main["plain_seeds"] > 0].drop_duplicates([*keys, "method", "sparsity"])
    for key, group in plain.groupby(keys, sort=True):
        if group["method"].nunique() < FEWEST:
            continue
        title = ", ".join(part for part in key if part)
        order = _ranked(group)
        tables.append(_accuracies(f"{title}: methods", group, order))
        tables.append(_costs(f"{title}: cost of methods", group, order))
    return tables


def _ranked(group: pd.DataFrame) -> list[str]:
    """Methods by accuracy at the highest sparsity that they have; those without one come first."""
    highest = group.sort_values(
        ["sparsity", "plain_final_accuracy_mean"], ascending=False, na_position="last"
    )
    dense = [
        m for m in highest["method"].unique() if (group[group.method == m].sparsity == 0).all()
    ]
    return dense + [m for m in highest["method"].unique() if m not in dense]


def _accuracies(title: str, group: pd.DataFrame, order: list[str]) -> TextTable:
    levels = sorted(set(group["sparsity"]) - {0})
    rows = []
    for method in order:
        row = [method]
        for level in [0, *levels]:
            found = group[(group["method"] == method) & (group["sparsity"] == level)]
            row.append(
                accuracy(next(found.itertuples()), "plain", "final_accuracy")
                if len(found)
                else MISSING
            )
        rows.append(row)
    header = ["method", "dense", *(sparsity(level) for level in levels)]
    return TextTable(title, ACCURACY_CAPTION, header, rows)


def _costs(title: str, group: pd.DataFrame, order: list[str]) -> TextTable:
    header = ["method", "sparsity", "training FLOPs", "inference FLOPs", "R_s", "robust"]
    rows = [
        [row.method, sparsity(row.sparsity), *_cost(row)]
        for method in order
        for row in group[group["method"] == method].sort_values("sparsity").itertuples()
    ]
    return TextTable(title, COST_CAPTION, header, rows, labels=2)


def _cost(row: Any) -> list[str]:
    return [
        number(row.plain_relative_training_flops, 3),
        number(row.plain_relative_inference_flops, 3),
        number(row.plain_exploration_rate, 3),
        accuracy(row, "plain", "final_robust"),
    ]
