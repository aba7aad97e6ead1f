"""How learning rates were chosen: as a table, and in words whose numbers are the table's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.labels import axis_columns
from agc.reports.tables.formatting import MISSING, percent, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.tuning import FILE

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Learning rates: mean and standard deviation over the tuning seeds of the accuracy on the"
    " validation images after the last epoch, in %; in parentheses how many runs diverged, which"
    " count as 0. Chosen: the rate of the highest mean, of equal ones the smallest; at an edge: no"
    " smaller or no larger one was tried."
)


def tuning_table(table: pd.DataFrame) -> TextTable:
    """A row for each arm, a column for each learning rate.

    Args:
        table: as of :func:`agc.reports.tuning.choose`.
    """
    rates = sorted(set(table["lr"]))
    names = arm_columns(table)
    rows = []
    for _, arm in table.groupby("arm", sort=False):
        by_rate = {row.lr: row for row in arm.itertuples()}
        tried = [_accuracy(by_rate[lr]) if lr in by_rate else MISSING for lr in rates]
        chosen = arm[arm["chosen"]].iloc[0]
        edge = " (at an edge)" if chosen["at_edge"] else ""
        rows.append([*name_arm(chosen, names), *tried, f"{chosen['lr']:g}{edge}"])
    header = [*names, *(f"lr {lr:g}" for lr in rates), "chosen"]
    return TextTable("Learning rates", CAPTION, header, rows, labels=len(names))


def arm_columns(table: pd.DataFrame) -> list[str]:
    """What names an arm: method, sparsity, correction, and what else is not the same in all."""
    axes = axis_columns(table.columns)
    names = [*(name for name in axes if name not in ("method", "correction")), "recipe"]
    names = [name for name in names if table[name].nunique() > 1]
    return [*names, "method", "sparsity", "correction"]


def name_arm(row: pd.Series, names: list[str]) -> list[str]:
    """The texts of these columns in a row."""
    return [sparsity(row[name]) if name == "sparsity" else str(row[name]) for name in names]


def tuning_sentence(table: pd.DataFrame) -> str:
    """How the rates were chosen: by how many runs of which rates and seeds."""
    arms = table["arm"].nunique()
    rates = ", ".join(f"{lr:g}" for lr in sorted(set(table["lr"])))
    seeds = sorted({int(seed) for text in table["seeds"] for seed in text.split()})
    runs = sum(len(text.split()) for text in table["seeds"])
    edges, lost = int(table["at_edge"].sum()), int(table["diverged"].sum())
    of = f"each of {arms} arms" if arms > 1 else "the one arm"
    return (
        f"The learning rate of {of} is chosen from {rates} by the mean accuracy on the validation"
        f" images after the last epoch, of {runs} runs with the seeds"
        f" {', '.join(map(str, seeds))}, which no run of the grid has; {lost} of these runs"
        f" diverged, and {edges} of {arms} choices lie at an edge of the list. All of it is in"
        f" `{FILE}`."
    )


def _accuracy(row: object) -> str:
    mean, sd = row.validation_accuracy_mean, row.validation_accuracy_sd  # type: ignore[attr-defined]
    text = percent(mean) if sd != sd else f"{percent(mean)} ± {percent(sd)}"
    lost = row.diverged  # type: ignore[attr-defined]
    return f"{text} ({lost} diverged)" if lost else text
