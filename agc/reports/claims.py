"""The claims of the paper, beside what a grid measured.

Claim A is about accuracy at an equal number of epochs, claim B about epochs to an equal accuracy.
Both headline numbers are means: A's over six epochs of a training, B's over levels of accuracy
(:mod:`agc.reports.paper_metrics`). Both are of BSR-Net in standard training at 99 % sparsity; at
the last epoch and at the top level of the same runs next to nothing is left of them. So each stands
in its own measure and at the end. Every estimate is of all rows of a task, and stands beside what
two equal arms give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agc.grids.files import Margin
from agc.reports.acceleration import (
    SHARES,
    level_changes,
    level_values,
    stack_counted,
    tested_arms,
)
from agc.reports.arms import PLAIN, common_seeds, finished
from agc.reports.claim_lines import difference_line, time_line
from agc.reports.curves import Curve
from agc.reports.labels import task_columns
from agc.reports.paper_metrics import budget_gaps, mean_reduction
from agc.reports.restricted import (
    reached_shares,
    share_of_final,
    swapped_times,
    time_differences,
)

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "PMLR 234:341-378, CPAL 2024"


class Claim(NamedTuple):
    """What the paper has of one measure: its largest number, or the one of the same runs."""

    measure: str
    unit: str
    paper: float = np.nan
    """In the measure's unit; NaN where it has nothing."""
    place: str = ""
    """Where it stands; empty where it has nothing."""


PAPER = {
    "A": Claim("final test accuracy", "points", 1.3, "Table 1, the headline's runs at epoch 200"),
    "A budgets": Claim(
        "test accuracy, mean of six epochs", "points", 5.0, "headline; Table 1, VGG-16"
    ),
    "A robust": Claim("robust accuracy", "points"),
    # Of a ladder of budgets, where the grid has one.
    "B": Claim(
        "epochs to equal error",
        "%",
        -1.9,
        "Figure 4b, the headline's runs at the top level of test accuracy, digitised",
    ),
    **{
        f"B {name} %": Claim(
            f"restricted mean epochs to {name} % of plain's mean final validation accuracy",
            "epochs",
        )
        for name in SHARES
    },
    "B levels": Claim(
        "epochs to test accuracy, mean over levels", "%", -52.1, "headline; Figure 4b, WRN-28-4"
    ),
}
FROM_POOLED = {"accuracy": "A", "robust": "A robust"}
COLUMNS = [
    *("correction", "budget", "rows", "pairs", "diverged"),
    *("mean", "low", "high", "low90", "high90", "p", "null_mean", "swap_p"),
    *("reached_plain", "reached_corrected", "attained", "pred_low", "pred_high"),
    *("margin", "detectable", "verdict", "sentence", "up", "down", "null_best"),
]


class _Row(NamedTuple):
    """Runs of the same seeds of one method × sparsity × recipe."""

    sparsity: float
    plain: list[Curve]
    corrected: list[Curve]


def claims(
    records: pd.DataFrame,
    curves: dict[str, Curve],
    pooled: pd.DataFrame,
    margin: Margin,
) -> pd.DataFrame:
    """What the grid says to each claim, for each task × correction × budget.

    Lines of final accuracies are those of ``pooled``. ``mean`` is over ``rows``, with its 95 % and
    90 % intervals, in the unit that ``measure`` ends with; ``paper`` is the paper's number and
    ``source`` its place. ``null_mean`` is what two equal arms give in the mean, ``swap_p`` how
    often swapped labels are as far from that; ``p`` is that of a t test, which only differences
    of accuracy have. ``reached_*`` are shares of runs that reach the target, or, of the corrected
    arm alone, of the levels that it reaches. ``up`` and ``down`` are rows above and below their
    null after Benjamini and Hochberg's adjustment; ``null_best`` is the mean of the row most in the
    correction's favour if none has an effect. ``margin``, ``detectable`` (as in ``pooled``),
    ``verdict`` and ``sentence`` are there for accuracies alone: a number of epochs of one training
    has no margin.

    Args:
        records: a row for each cell, as collected.
        curves: of each finished cell, by slug.
        pooled: as of :func:`agc.reports.pooled.pooled`, of the same records.
        margin: the largest differences that do not matter, as the grid has them.
    """
    import pandas as pd

    task = task_columns(records.columns)
    lines = _of_accuracy(pooled)
    corrected = records[records["correction"] != PLAIN]
    for key, arm in corrected.groupby([*task, "correction"], sort=True):
        head = dict(zip([*task, "correction"], key, strict=True)) | {"budget": "epochs"}
        head["diverged"] = int((arm["status"] == "diverged").sum())
        rows = _rows(records, arm, curves)
        found = {"A budgets": _gaps(rows, margin.accuracy), "B levels": _levels(rows)}
        found |= {f"B {name} %": _target(rows, share) for name, share in SHARES.items()}
        lines += [_head(claim) | head | line for claim, line in found.items() if line]
    columns = ["claim", "measure", "paper", "source", *task, *COLUMNS]
    frame = pd.DataFrame(lines, columns=columns)
    for name in ("verdict", "sentence"):
        frame[name] = frame[name].astype(object).fillna("")
    order = frame["claim"].map(list(PAPER).index)
    return frame.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def _head(claim: str) -> dict[str, Any]:
    measure, unit, paper, place = PAPER[claim]
    source = f"{SOURCE}, {place}" if place else ""
    return {"claim": claim, "measure": f"{measure}, {unit}", "paper": paper, "source": source}


def _of_accuracy(pooled: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of final accuracies, whose null is no difference: a swap of labels is one of sign."""
    return [
        row | _head(FROM_POOLED[row["measure"]]) | {"null_mean": 0.0 if row["pairs"] else np.nan}
        for row in pooled.to_dict("records")
    ]


def _rows(records: pd.DataFrame, arm: pd.DataFrame, curves: dict[str, Curve]) -> list[_Row]:
    """The rows of a correction within one task that have a pair."""
    plain = records[records["correction"] == PLAIN]
    keys = [*task_columns(records.columns), "method", "sparsity", "recipe"]
    rows = []
    for key, runs in arm.groupby(keys, sort=True):
        arms = finished(plain[(plain[keys] == list(key)).all(axis=1)]), finished(runs)
        if seeds := common_seeds(*arms):
            pairs = ([curves[slug] for slug in one.loc[seeds, "slug"]] for one in arms)
            rows.append(_Row(runs["sparsity"].iloc[0], *pairs))
    return rows


def _gaps(rows: list[_Row], margin: float) -> dict[str, Any]:
    found = [(row.sparsity, tested_arms(row.plain, row.corrected)) for row in rows]
    found = [(group, arms) for group, arms in found if arms]
    return difference_line(
        [budget_gaps(*arms) for _, arms in found], [group for group, _ in found], margin
    )


def _levels(rows: list[_Row]) -> dict[str, Any]:
    found = [(row.sparsity, tested_arms(row.plain, row.corrected)) for row in rows]
    found = [(group, arms) for group, arms in found if arms and len(level_changes(*arms))]
    whole = [mean_reduction(*arms) for _, arms in found]
    return time_line(
        [level_changes(*arms) for _, arms in found],
        [group for group, _ in found],
        [level_values(*arms) for _, arms in found],
        # The plain arm reaches its own levels.
        [(1.0, 1 - one.not_reached / one.levels) for one in whole],
    )


def _target(rows: list[_Row], share: float) -> dict[str, Any]:
    target = share_of_final(share)
    found = []
    for row in rows:
        arms = [stack_counted(arm, "validation_accuracy") for arm in (row.plain, row.corrected)]
        if not np.isnan(target(arms[0])):
            found.append((row.sparsity, arms))
    return time_line(
        [time_differences(*arms, target) for _, arms in found],
        [group for group, _ in found],
        [swapped_times(*arms, target) for _, arms in found],
        [reached_shares(*arms, target) for _, arms in found],
    )
