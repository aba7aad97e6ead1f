"""What a reader asks of a comparison, one narrow table each: accuracy, acceleration, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.acceleration import SHARES
from agc.reports.labels import task_columns
from agc.reports.pooled import SENSITIVITY
from agc.reports.tables.formatting import (
    MISSING,
    accuracy,
    change,
    difference,
    divergence,
    epochs_difference,
    interval,
    loss,
    number,
    p_value,
    percent,
    points,
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
DIVERGED = (
    "A number of seeds out of more: the others diverged and are left out of the mean; the column"
    f" {SENSITIVITY} of pooled.csv counts them as guessing"
)
ACCURACY_CAPTION = (
    f"Percent, {SPREAD}. Difference: correction − none, paired over common seeds, in percentage"
    f" points, {INTERVAL} {SHARED}. {VERDICT} Final: last epoch. Best: epoch of the best validation"
    f" accuracy among those at the target sparsity. {DIVERGED}."
)
ACCELERATION_CAPTION = (
    "Epochs until a run has once been as accurate on validation images as a share of the plain"
    " runs' mean final accuracy: the target, in percent. A run that never is counts with all its"
    " epochs (restricted mean). Reached: share of runs. Difference: correction − none, paired over"
    f" common seeds, {INTERVAL}. Two equal arms: the same difference averaged over all ways to swap"
    " the labels within the seeds, and p: the share of them as far from that as this one. Negative:"
    " the correction gets there sooner. One epoch of it may cost more."
)
PAPER_CAPTION = (
    "The paper's two measures of each row. Accuracy: correction − none in points of test accuracy,"
    " mean over six epochs of the training. Epochs: change in percent until a level of test"
    " accuracy is first reached, mean over levels. In brackets the 95 % interval over seeds. Not"
    " reached: levels of all, which count as reached in the epoch after the last. Two equal arms:"
    " the change with the labels swapped within the seeds; p: of such swaps."
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
    """Restricted mean epochs to each share of the plain runs' mean final accuracy."""
    tables = []
    for title, group in _groups(main):
        for name in SHARES:
            columns: list[Column] = [("target", _named(f"target_{name}", percent))]
            for arm, word in (("plain", "none"), ("corrected", "corrected")):
                columns += [
                    (f"epochs, {word}", _named(f"{arm}_epochs_to_{name}", number)),
                    ("reached", _named(f"{arm}_reached_{name}", _share)),
                ]
            columns += [
                ("difference", lambda row, t=name: epochs_difference(row, t)),
                ("two equal arms", _named(f"epochs_to_{name}_difference_null", points)),
                ("p", _named(f"epochs_to_{name}_difference_p", p_value)),
            ]
            words = f"{title}: to {name} % of plain's mean final validation accuracy"
            tables.append(_table(words, ACCELERATION_CAPTION, group, columns))
    return tables


def paper_tables(main: pd.DataFrame) -> list[TextTable]:
    """The paper's two measures, row by row; none where no row has both arms measured throughout."""
    measured = main[main["budget_accuracy_difference_n"] > 0]
    name = "epochs_to_levels_change"
    columns: list[Column] = [
        ("accuracy", lambda row: difference(row, "budget_accuracy")),
        ("p", _named("budget_accuracy_difference_p", p_value)),
        ("epochs", lambda row: _levels(row, name)),
        ("not reached", lambda row: f"{row.levels_not_reached:g} of {row.levels:g}"),
        ("two equal arms", _named(f"{name}_null", change)),
        ("p", _named(f"{name}_p", p_value)),
    ]
    return [
        _table(f"{title}: the paper's two measures", PAPER_CAPTION, group, columns)
        for title, group in _groups(measured)
    ]


def _levels(row: Any, name: str) -> str:
    mean, low, high = (getattr(row, f"{name}_{key}") for key in ("mean", "low", "high"))
    return f"{change(mean)} {interval(low, high, change)}".removesuffix(f" {MISSING}")


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


def without_result(provenance: Mapping[str, Any]) -> list[TextTable]:
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


def _named(column: str, show: Callable[[float], str]) -> Callable[[Any], str]:
    return lambda row: show(getattr(row, column))


def _share(value: float) -> str:
    return MISSING if value != value else f"{percent(value, 0)} %"


def _seconds(row: Any, arm: str) -> str:
    mean, sd, n = (getattr(row, f"{arm}_train_seconds_{key}") for key in ("mean", "sd", "n"))
    if n < 2:
        return f"{mean:.1f} (n=1)" if n else MISSING
    return f"{mean:.1f} ± {sd:.1f}"
