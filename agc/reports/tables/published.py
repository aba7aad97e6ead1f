"""Published figures as tables: what was printed, and what the grid measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.tables.formatting import MISSING, accuracy, number, points, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    from agc.reports.published import Beside

CAPTION = (
    "Figures that others published, in percent, beside runs of the same data set, network,"
    " objective, method, sparsity, correction and number of epochs; ours: mean ± sample standard"
    " deviation (number of seeds). Other settings differ: see the source. An epoch is given where a"
    " figure is of one within the training, a number of epochs where the source has it."
    " Metric: top1 and clean are test accuracy, best ones at an epoch that was chosen; robust ones"
    " name their attack, and ours is under the grid's own."
)
LACKING = {
    "dataset": "of another data set",
    "architecture": "of another network",
    "objective": "of another objective",
    "method": "of another method",
    "sparsity": "of another sparsity, or none that is known",
    "correction": "of another correction",
    "setting": "of another setting",
    "epochs": "of another number of epochs",
    "metric": "of what was not measured here",
}
"""Why a published row is in no table, in the order in which it is asked for."""


def published_tables(beside: Beside) -> list[TextTable]:
    """A table for each data set and network with a published figure; none where there is none."""
    if not beside.covered:
        return []
    caption = f"{CAPTION} {coverage(beside)}"
    tables = []
    for names, group in beside.rows.groupby(["dataset", "architecture"], sort=True):
        recipe = bool(group["recipe"].any())
        header = ["objective", "method", "sparsity", *(["recipe"] if recipe else []), "correction"]
        labels = len(header)
        header += ["metric", "epoch", "epochs", "ours", "published", "±", "ours − published"]
        header += ["distribution", "source"]
        rows = [_cells(row, recipe) for row in group.itertuples()]
        title = f"{', '.join(names)}: published"
        wrapped = (len(header) - 1,)
        tables.append(TextTable(title, caption, header, rows, labels=labels, wrapped=wrapped))
    return tables


def coverage(beside: Beside) -> str:
    """How many of the published rows have runs of the same, and what the others lack."""
    others = [
        f"{count} {words}" for key, words in LACKING.items() if (count := beside.lacking.get(key))
    ]
    text = f"Of {beside.total} published rows {beside.covered} are covered"
    return f"{text}; the others: {', '.join(others)}." if others else f"{text}."


def _cells(row: Any, recipe: bool) -> list[str]:
    gap = 100 * row.ours_measured_mean - row.published_mean
    source = row.published_source
    if row.published_note:
        source += f": {row.published_note}"
    return [
        row.objective,
        row.method,
        sparsity(row.sparsity),
        *([row.recipe] if recipe else []),
        row.correction,
        row.published_metric,
        number(row.published_epoch),
        number(row.published_epochs),
        accuracy(row, "ours", "measured"),
        number(row.published_mean, 2),
        number(row.published_std, 2),
        points(gap),
        row.published_distribution or MISSING,
        source,
    ]
