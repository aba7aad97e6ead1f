"""The paper's claims as tables and lines: what it says, what the grid measured, what chance is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agc.reports.acceleration import SHARES, SHOWN
from agc.reports.arms import is_placebo
from agc.reports.claims import PAPER, SOURCE
from agc.reports.compare import UNTESTED
from agc.reports.labels import task_columns
from agc.reports.paper_metrics import BUDGETS, LOWEST
from agc.reports.tables.formatting import MISSING, change, interval, p_value, points, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.tables.pooled import BUDGETS as EQUAL
from agc.reports.tables.pooled import counted

if TYPE_CHECKING:
    import pandas as pd

ROWS = (
    "Mean of all rows of a task, which are its methods × sparsities × recipes, with its 95 %"
    " interval. Attained: the least margin that the 90 % interval lies within. Another row: the"
    " 95 % prediction interval. Two equal arms: what the mean is without any effect, all labels"
    " swapped within the seeds, and the swap's p. Extreme row by chance: what the row most in the"
    " correction's favour shows on average without any effect. Rows up, down: above and below what"
    " two equal arms give, after Benjamini and Hochberg's adjustment. Diverged: corrected runs that"
    " gave no result."
)
PLANNED = (
    " At equal units, planned: minus plain runs that had the correction's units as more epochs,"
    " with a learning-rate schedule made for them."
)
HEADLINE = (
    " It is of BSR-Net in standard training at 99 % sparsity, the largest of the settings shown."
)
TIMES = (
    "Correction − none in epochs until a run has once been as accurate on validation images as a"
    " share of the plain runs' mean final accuracy; a run that never is counts with all its epochs."
    " Negative: the correction gets there sooner. Reached: share of runs."
)
LEVELS = (
    "Change in percent of the epochs that the correction needs to first reach a test accuracy,"
    " averaged over levels a point apart. The top one is the mean of the plain runs' highest"
    f" accuracies, the lowest {LOWEST:g} of that. A level that the correction does not reach counts"
    " as reached in the epoch after the last. Intervals are the jackknife's over seeds. Reached:"
    " share of levels."
)
UNTESTED_CAPTION = (
    "These runs measured test images after the last epoch alone (evaluation.test: last). So they"
    " have no test accuracy at six epochs or at levels: those measures of the claims need"
    " evaluation.test: every-epoch."
)
POOLED = ("A", "A robust")
"""Claims that the pooled estimates have, too."""
# Of each measure's unit: how a number of it is written.
SHOW = {"points": points, "epochs": points, "%": change}


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
    names = [claim for claim in PAPER if (claims["claim"] == claim).any()]
    return [_table(claim, claims[claims["claim"] == claim], _keys(claims)) for claim in names]


def claim_lines(claims: pd.DataFrame) -> list[str]:
    """Each estimate of a correction in one line: what it is of, the verdict's sentence or the
    interval, the null, and the paper's number with its place.

    Without what the lines of the pooled estimates say (:data:`POOLED`), without the placebo, whose
    part the null has, and of the targets with one; the tables have all.
    """
    keys = _keys(claims)
    left_out = {*POOLED, *(f"B {name} %" for name in SHARES if name != SHOWN)}
    return [
        _line(row, keys)
        for row in claims.to_dict("records")
        if row["claim"] not in left_out and not is_placebo(row["correction"])
    ]


def source(claim: str) -> str:
    """Where the paper has what it says to a claim."""
    return f"{SOURCE}, {PAPER[claim].place}"


def _keys(claims: pd.DataFrame) -> list[str]:
    """Of the task, the objective and what is not the same in all lines."""
    return [
        key
        for key in task_columns(claims.columns)
        if key == "objective" or claims[key].nunique() > 1
    ]


def _caption(claim: str, rows: pd.DataFrame) -> str:
    measure, unit, paper, place = PAPER[claim]
    if claim == "B levels":
        text = LEVELS
    elif unit == "epochs":
        text = TIMES
    else:
        text = f"Correction − none, {measure}, in {unit}, paired over seeds."
    if claim == "A budgets":
        shares = [f"{100 * share:g}" for share in BUDGETS]
        text += f" The epochs end at {', '.join(shares)} % of the training."
    if "planned" in set(rows["budget"]):
        text += PLANNED
    if place:
        text += f" The paper: {SHOW[unit](paper)} ({source(claim)})."
        text += HEADLINE if place.startswith("headline;") else ""
    return f"{text} {ROWS}"


def _table(claim: str, rows: pd.DataFrame, keys: list[str]) -> TextTable:
    show = SHOW[PAPER[claim].unit]
    limits = partial(interval, show=show)
    columns = {
        "at equal": lambda row: EQUAL[row["budget"]],
        "rows (pairs)": lambda row: f"{row['rows']} ({row['pairs']})",
        "mean": lambda row: _estimate(row, show),
        "attained": lambda row: _size(row["attained"], show),
        "another row": lambda row: limits(row["pred_low"], row["pred_high"]),
        "two equal arms": lambda row: show(row["null_mean"]),
        "p": lambda row: p_value(row["swap_p"]),
        "extreme row by chance": lambda row: show(row["null_best"]),
        "rows up, down": lambda row: f"{row['up']}, {row['down']}",
        "diverged": lambda row: str(row["diverged"]),
    }
    if rows["reached_corrected"].notna().any():
        del columns["at equal"]
        columns["reached, none"] = lambda row: _share(row["reached_plain"])
        columns["reached, corrected"] = lambda row: _share(row["reached_corrected"])
    if (rows["verdict"] != "").any():
        columns["verdict"] = lambda row: row["verdict"]
    cells = [
        [*(row[key] for key in keys), row["correction"], *(cell(row) for cell in columns.values())]
        for row in rows.to_dict("records")
    ]
    title = f"Claim {claim}: {PAPER[claim].measure}"
    header = [*keys, "correction", *columns]
    return TextTable(title, _caption(claim, rows), header, cells, len(keys) + 1, (len(keys),))


def _line(row: dict[str, Any], keys: list[str]) -> str:
    measure, unit, paper, place = PAPER[row["claim"]]
    show = SHOW[unit]
    said = f" (the paper: {show(paper)}, {place})" if place else ""
    head = [f"claim {row['claim']}, {measure}{said}", *(row[key] for key in keys)]
    head += [row["correction"], f"at equal {EQUAL[row['budget']]}"]
    if row["reached_corrected"] == row["reached_corrected"]:
        head.pop()
    head.append(f"{counted(row['rows'], 'row')} ({counted(row['pairs'], 'pair')})")
    text = row["sentence"] or f"{_estimate(row, show)} {unit}".removesuffix(" %")
    parts = [f"{', '.join(head)}: {text}", f"two equal arms {show(row['null_mean'])}"]
    if row["swap_p"] == row["swap_p"]:
        parts[-1] += f", p {p_value(row['swap_p'])}"
    if row["reached_corrected"] == row["reached_corrected"]:
        shares = [_share(row[f"reached_{arm}"]) for arm in ("plain", "corrected")]
        parts.append(f"reached by none {shares[0]}, corrected {shares[1]}")
    return "; ".join(parts)


def _estimate(row: dict[str, Any], show: Any) -> str:
    limits = interval(row["low"], row["high"], show)
    return f"{show(row['mean'])} {limits}".removesuffix(f" {MISSING}")


def _size(value: float, show: Any) -> str:
    return MISSING if value != value else show(value).replace("+", "±")


def _share(value: float) -> str:
    return MISSING if value != value else f"{100 * value:.0f} %"
