"""What a reader asks of a comparison, one narrow table each: accuracy, acceleration, cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.labels import task_columns
from agc.reports.tables.formatting import (
    MISSING,
    accuracy,
    difference,
    divergence,
    loss,
    number,
    percent,
    reached,
    reached_change,
    row_verdict,
    shared_difference,
    sparsity,
)
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

Column = tuple[str, Callable[[Any], str]]

SPREAD = "mean ± sample standard deviation over seeds (number of seeds)"
INTERVAL = "95 % t interval in brackets"
SHARED = "with the spread that all rows of a sparsity, task and correction share"
VERDICT = (
    "Verdict: that of this interval by the grid's margin; (raw): without it once p is adjusted over"
    " the rows of the task and correction (Benjamini and Hochberg)."
)
DIVERGED = "2 of 3 seeds: the third diverged and is left out of the mean"
ACCURACY_CAPTION = (
    f"Percent, {SPREAD}. Difference: correction − none, paired over common seeds, in percentage"
    f" points, {INTERVAL} {SHARED}. {VERDICT} Final: last epoch. Best: epoch of the best validation"
    f" accuracy among those at the target sparsity. {DIVERGED}."
)
ACCELERATION_CAPTION = (
    "Running-best curves averaged over common seeds; the target is the last value of the plain"
    " run's curve. One unit is a forward pass over the training set (a backward pass counts two)."
    " Seconds: change of training time alone. Negative: the correction gets there sooner. Not"
    " reached: not within its run."
)
PLANNED_CAPTION = (
    " Equal units: the difference to plain runs that had the correction's units as more epochs, and"
    " how many those were; the interval has the row's own spread."
)
COST_CAPTION = (
    "Means over finished runs. Units: forward passes over the training set, per epoch. FLOPs:"
    " training, density-weighted, relative to a plain dense run of the same objective and epochs."
    " Tensors: extra, parameter-sized ones that the correction"
    " keeps. Seconds: training alone, mean ± sample standard deviation. Diverged: of all seeds."
)


def accuracy_tables(main: pd.DataFrame) -> list[TextTable]:
    """Clean and, where it was measured, robust test accuracy."""
    tables = []
    for title, group in _groups(main):
        for word, final, best, paired in (
            ("test accuracy", "final_accuracy", "best_accuracy", "accuracy"),
            ("robust accuracy", "final_robust", "best_robust", "robust"),
        ):
            measured = group[f"plain_{final}_n"].sum() + group[f"corrected_{final}_n"].sum()
            if paired == "robust" and not measured:
                continue
            columns: list[Column] = [
                ("none, final", lambda row, m=final: accuracy(row, "plain", m)),
                ("corrected, final", lambda row, m=final: accuracy(row, "corrected", m)),
                ("difference, final", lambda row, m=paired: shared_difference(row, m)),
                ("verdict", lambda row, m=paired: row_verdict(row, m)),
                ("none, best", lambda row, m=best: accuracy(row, "plain", m)),
                ("corrected, best", lambda row, m=best: accuracy(row, "corrected", m)),
            ]
            caption = ACCURACY_CAPTION
            if group[f"planned_{paired}_difference_n"].sum():
                caption += PLANNED_CAPTION
                columns += [
                    ("equal units", lambda row, m=paired: difference(row, f"planned_{m}")),
                    ("plain epochs", lambda row: number(row.planned_epochs)),
                ]
            tables.append(_table(f"{title}: {word}", caption, group, columns))
    return tables


def acceleration_tables(main: pd.DataFrame) -> list[TextTable]:
    """Epochs, units and seconds to the plain run's accuracy and to its training loss."""
    tables = []
    for title, group in _groups(main):
        for words, target, show in (
            ("to plain's best validation accuracy", "accuracy", percent),
            ("to plain's final training loss", "loss", lambda value: number(value, 4)),
        ):
            columns: list[Column] = [
                ("target", lambda row, t=target, f=show: f(getattr(row, f"{t}_target"))),
            ]
            for measure in ("epochs", "units"):
                columns += [
                    (f"{measure}, none", _plain(measure, target)),
                    ("corrected", lambda row, m=measure, t=target: reached(row, m, t)),
                    ("change", lambda row, m=measure, t=target: reached_change(row, m, t)),
                ]
            columns.append(("seconds", lambda row, t=target: reached_change(row, "seconds", t)))
            tables.append(_table(f"{title}: {words}", ACCELERATION_CAPTION, group, columns))
    return tables


def cost_tables(main: pd.DataFrame) -> list[TextTable]:
    """What each arm costs, and how many of its runs diverged."""
    columns: list[Column] = []
    for heading, show in (
        ("units", lambda row, arm: number(getattr(row, f"{arm}_units_per_epoch"))),
        ("FLOPs", lambda row, arm: number(getattr(row, f"{arm}_relative_training_flops"), 3)),
        ("seconds", _seconds),
        ("diverged", divergence),
        *(
            (status, lambda row, arm, s=status: loss(row, arm, s))
            for status in WITHOUT_RESULT
            if f"plain_{loss_key(status)}" in main.columns
        ),
    ):
        columns += [
            (f"{heading}, none", lambda row, f=show: f(row, "plain")),
            ("corrected", lambda row, f=show: f(row, "corrected")),
        ]
    columns.append(("tensors", lambda row: number(row.corrected_extra_tensors)))
    return [
        _table(f"{title}: cost", COST_CAPTION, group, columns) for title, group in _groups(main)
    ]


def without_result(provenance: dict[str, Any]) -> list[TextTable]:
    """Cells that a partial collection found without a record, and why; none if there are none."""
    found = provenance.get("without_result", [])
    rows = [[cell["slug"], cell["status"], cell["reason"] or MISSING] for cell in found]
    header = ["cell", "status", "why"]
    title, caption = "cells without a result", "They are in no mean and in no difference."
    return [TextTable(title, caption, header, rows, labels=3)] if rows else []


def _groups(main: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    grouped = main.groupby(task_columns(main.columns), sort=True)
    return [(", ".join(key), group) for key, group in grouped]


def _table(title: str, caption: str, group: pd.DataFrame, columns: list[Column]) -> TextTable:
    labels: list[Column] = [
        ("method", lambda row: row.method),
        ("sparsity", lambda row: sparsity(row.sparsity)),
        ("correction", lambda row: row.correction or MISSING),
    ]
    if group["recipe"].any():
        labels.insert(2, ("recipe", lambda row: row.recipe))
    every = labels + columns
    return TextTable(
        title=title,
        caption=caption,
        header=[name for name, _ in every],
        rows=[[show(row) for _, show in every] for row in group.itertuples()],
        labels=len(labels),
    )


def _plain(measure: str, target: str) -> Callable[[Any], str]:
    return lambda row: number(getattr(row, f"plain_{measure}_to_{target}"))


def _seconds(row: Any, arm: str) -> str:
    mean, sd, n = (getattr(row, f"{arm}_train_seconds_{key}") for key in ("mean", "sd", "n"))
    if n < 2:
        return f"{mean:.1f} (n=1)" if n else MISSING
    return f"{mean:.1f} ± {sd:.1f}"
