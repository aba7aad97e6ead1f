"""The headline claims as tables: what the paper says, what the grid measured, at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.claims import PAPER, SOURCE
from agc.reports.compare import UNTESTED
from agc.reports.headline import LOWEST
from agc.reports.tables.formatting import MISSING, NOT_REACHED, change, points, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

ROWS = "A row is one data set × architecture × method × sparsity × recipe."
CUT_OFF = (
    "At equal units: the corrected run cut off at the last epoch that the units of the whole plain"
    " run pay for, its best-on-validation test accuracy minus the plain run's. Its learning-rate"
    " schedule was made for more epochs, so this is a lower bound for the correction."
)
PLANNED = (
    " At equal units, planned: minus plain runs that had the correction's units as more epochs,"
    " with a learning-rate schedule made for them."
)
HEADLINE = (
    "It is of BSR-Net in standard training at 99 % sparsity, the largest of the settings shown."
)
UNTESTED_CAPTION = (
    "These runs measured test images after the last epoch alone (evaluation.test: last). So they"
    " have no test accuracy at six epochs, at levels, or at equal units within a run: those"
    " measures of the claims need evaluation.test: every-epoch."
)
NAMES = {"planned": "units, planned"}


def untested(main: pd.DataFrame) -> list[TextTable]:
    """Rows whose runs lack what some of the measures need; none if there are none."""
    if UNTESTED not in main:
        return []
    rows = [
        [row.method, sparsity(row.sparsity), row.correction or MISSING, str(int(count))]
        for row, count in zip(main.itertuples(), main[UNTESTED], strict=True)
        if count
    ]
    header = ["method", "sparsity", "correction", "runs"]
    return [TextTable("Not measured after every epoch", UNTESTED_CAPTION, header, rows, labels=3)]


def claim_tables(claims: pd.DataFrame) -> list[TextTable]:
    """One table for each claim that the grid can speak to."""
    tables = []
    for claim in PAPER:
        rows = claims[claims["claim"] == claim]
        if len(rows):
            tables.append((_acceleration if claim.startswith("B") else _accuracy)(claim, rows))
    return tables


def _accuracy(claim: str, rows: pd.DataFrame) -> TextTable:
    budgets = ["epochs", "units"] if claim == "A" else ["epochs"]
    if rows["planned_mean"].notna().any():
        budgets.append("planned")
    measure = {
        "A": "final test accuracy",
        "A budgets": "test accuracy, averaged over 10, 20, 35, 45, 70 and 100 % of the epochs",
        "A robust": "final robust accuracy",
    }[claim]
    caption = (
        f"Correction − none in percentage points of {measure} at equal epochs, paired over seeds."
        f" {ROWS} Wins and losses: rows whose 95 % t interval excludes 0."
    )
    if PAPER[claim].place:
        caption += f" The paper: {points(PAPER[claim].paper)} ({source(claim)})."
    if claim == "A budgets":
        caption += f" {HEADLINE}"
    if claim == "A":
        caption += f" {CUT_OFF}"
    if "planned" in budgets:
        caption += PLANNED
    name = {"A": "final test", "A budgets": "test", "A robust": "robust"}[claim]
    within = ", mean over six of them" if claim == "A budgets" else ""
    return _table(
        f"Claim A: {name} accuracy at equal epochs{within}",
        *(caption, rows, budgets, points, ("wins", "losses")),
    )


def _acceleration(claim: str, rows: pd.DataFrame) -> TextTable:
    paper = f" The paper: {change(PAPER[claim].paper)} of the epochs ({source(claim)})."
    if claim == "B":
        title = "Claim B: epochs to equal accuracy"
        caption = (
            "Change in percent of what the correction needs to reach the plain run's best"
            f" validation accuracy, in epochs, in units and in seconds of training.{paper} {ROWS}"
            " Means are over the rows that reach it; one that does not is counted as more."
            " Running-best curves averaged over seeds."
        )
    else:
        title = "Claim B: epochs to equal accuracy, mean over levels"
        caption = (
            "Change in percent of what the correction needs to first reach a test accuracy,"
            f" averaged over levels a point apart from {LOWEST:g} of the plain run's best up to"
            f" it, in epochs, in units and in seconds of training.{paper} {HEADLINE} {ROWS} Levels"
            " that a row does not reach are in no mean; one that reaches none is counted as more."
        )
    return _table(title, caption, rows, ["epochs", "units", "seconds"], change, ("less", "more"))


def source(claim: str) -> str:
    """Where the paper has what it says to a claim."""
    return f"{SOURCE}, {PAPER[claim].place}"


def _table(
    title: str,
    caption: str,
    rows: pd.DataFrame,
    budgets: list[str],
    show: Any,
    outcomes: tuple[str, str],
) -> TextTable:
    header = ["objective", "correction", "in" if show is change else "at equal"]
    header += ["rows", "mean", "best", "best row", "worst", "worst row", *outcomes]
    header += ["runs diverged"]
    cells = []
    for row in rows.to_dict("records"):
        for budget in budgets:
            cells.append(
                [
                    row["objective"],
                    row["correction"],
                    NAMES.get(budget, budget),
                    str(row["rows"]),
                    show(row[f"{budget}_mean"]),
                    *_extreme(row, budget, "best", show),
                    *_extreme(row, budget, "worst", show),
                    _count(row[f"{budget}_wins"]),
                    _count(row[f"{budget}_losses"]),
                    str(row["diverged"]),
                ]
            )
    return TextTable(title, caption, header, cells, labels=3, wrapped=(6, 8))


def _extreme(row: dict[str, Any], budget: str, which: str, show: Any) -> list[str]:
    name = row[f"{budget}_{which}_row"]
    if not name:
        return ["–", "–"]
    value = row[f"{budget}_{which}"]
    return [show(value) if value == value else NOT_REACHED, name]


def _count(value: Any) -> str:
    return "–" if value != value or value is None else str(int(value))
