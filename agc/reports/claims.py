"""The two headline claims of the paper, beside what a grid measured.

Claim A is about accuracy at an equal number of epochs, claim B about epochs to an equal accuracy.
Both headline numbers are means: A's over six epochs of a training, B's over levels of accuracy
(:mod:`agc.reports.headline`). Both are of BSR-Net in standard training at 99 % sparsity; at the
last epoch and at the top level of the same runs next to nothing is left of them. So each stands
in its own measure and at the end. An epoch of a corrected run costs more than a plain one, so each
claim stands beside its counterpart at equal computation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agc.reports.labels import task_columns

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "PMLR 234:341-378, CPAL 2024"


class Claim(NamedTuple):
    """What the paper has of one measure: its largest number, or the one of the same runs."""

    measure: str
    paper: float
    """In the measure's unit; NaN where it claims nothing."""
    place: str
    """Where it stands; empty where it claims nothing."""


PAPER = {
    "A": Claim("final test accuracy, points", 1.3, "Table 1, the headline's runs at epoch 200"),
    "A budgets": Claim(
        "test accuracy, mean of six epochs, points", 5.0, "headline; Table 1, VGG-16"
    ),
    "A robust": Claim("robust accuracy, points", np.nan, ""),
    "B": Claim(
        "epochs to plain's best validation accuracy, %",
        -1.9,
        "Figure 4b, the headline's runs at the top level of test accuracy, digitised",
    ),
    "B levels": Claim(
        "epochs to test accuracy, mean over levels, %", -52.1, "headline; Figure 4b, WRN-28-4"
    ),
}
COLUMNS = [
    "claim",
    "measure",
    "paper",
    "source",
    "objective",
    "correction",
    "rows",
    "diverged",
    "not_reached",
    *(
        f"{budget}_{key}"
        for budget in ("epochs", "units", "planned", "seconds")
        for key in ("mean", "best", "best_row", "worst", "worst_row", "wins", "losses")
    ),
]


def claims(main: pd.DataFrame) -> pd.DataFrame:
    """What the grid says to each claim, for each objective × correction.

    Columns ``epochs_*`` are the claim's own terms, ``units_*`` and ``seconds_*`` the same for
    equal computation and equal training time, ``planned_*`` against plain runs that were given the
    correction's units as more epochs. ``mean`` is over rows; ``best`` and ``worst`` are
    from the correction's side, with the rows' names. For claim A a win or a loss is a row whose
    95 % interval excludes 0, in percentage points; a row without an interval is neither. For
    claim B the numbers are changes in percent over the rows that reach the target, a win is a row
    with less than the plain run, and a row that does not reach it is a loss, the worst, and
    counted in ``not_reached``. For its levels, a row counts there if it does not reach them all;
    its mean is over those that it reaches.
    ``diverged`` counts the corrected runs that gave no result.
    """
    import pandas as pd

    rows = []
    main = main.assign(name=row_names(main))
    corrected = main[main["correction"] != ""]
    for (objective, correction), group in corrected.groupby(["objective", "correction"]):
        diverged = int(group["corrected_diverged"].sum())
        for claim in PAPER:
            values = _claim(claim, group)
            if values["rows"] or (diverged and claim in ("A", "B")):
                key = {"objective": objective, "correction": correction}
                rows.append(_head(claim) | key | values | {"diverged": diverged})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    names = [column for column in COLUMNS if column.endswith("_row")]
    frame[names] = frame[names].astype(object).fillna("")
    return frame.sort_values(["claim", "objective", "correction"], ignore_index=True)


def row_names(main: pd.DataFrame) -> list[str]:
    """Each row in words: method and sparsity, and what else is not the same in all rows."""
    task = [key for key in task_columns(main.columns) if key != "objective"]
    varying = [key for key in task if main[key].nunique() > 1]
    names = []
    for row in main.to_dict("records"):
        parts = [row[key] for key in varying] + [
            row["method"],
            *([f"{100 * row['sparsity']:g} %"] if row["sparsity"] else []),
        ]
        names.append(" ".join(parts) + (f" ({row['recipe']})" if row["recipe"] else ""))
    return names


def _head(claim: str) -> dict[str, Any]:
    measure, paper, place = PAPER[claim]
    source = f"{SOURCE}, {place}" if place else ""
    return {"claim": claim, "measure": measure, "paper": paper, "source": source}


def _claim(claim: str, group: pd.DataFrame) -> dict[str, Any]:
    if claim == "A":
        pairs = group[group["accuracy_difference_n"] > 0]
        own = _differences("epochs", "accuracy_difference", pairs)
        matched = _differences("units", "matched_accuracy_difference", pairs)
        planned = _differences("planned", "planned_accuracy_difference", pairs)
        return {"rows": len(pairs)} | own | matched | planned
    if claim == "A budgets":
        pairs = group[group["budget_accuracy_difference_n"] > 0]
        return {"rows": len(pairs)} | _differences("epochs", "budget_accuracy_difference", pairs)
    if claim == "A robust":
        pairs = group[group["robust_difference_n"] > 0]
        planned = _differences("planned", "planned_robust_difference", pairs)
        return {"rows": len(pairs)} | _differences("epochs", "robust_difference", pairs) | planned
    if claim == "B":
        pairs = group[group["accuracy_crossing"] != ""]
        missed, target = pairs["accuracy_crossing"] == "not reached", "accuracy"
        values: dict[str, Any] = {"rows": len(pairs), "not_reached": int(missed.sum())}
    else:
        pairs = group[group["levels"] > 0]
        missed, target = pairs["levels"] == pairs["levels_not_reached"], "levels"
        some = int((pairs["levels_not_reached"] > 0).sum())
        values = {"rows": len(pairs), "not_reached": some}
    for budget in ("epochs", "units", "seconds"):
        values |= _changes(budget, target, pairs, missed)
    return values


def _differences(budget: str, column: str, pairs: pd.DataFrame) -> dict[str, Any]:
    """Claim A in one budget: differences in points, larger is better."""
    pairs = pairs[pairs[f"{column}_mean"].notna()]
    if not len(pairs):
        return {}
    mean = 100 * pairs[f"{column}_mean"]
    best, worst = pairs.loc[mean.idxmax()], pairs.loc[mean.idxmin()]
    return {
        f"{budget}_mean": mean.mean(),
        f"{budget}_best": mean.max(),
        f"{budget}_best_row": best["name"],
        f"{budget}_worst": mean.min(),
        f"{budget}_worst_row": worst["name"],
        f"{budget}_wins": int((pairs[f"{column}_low"] > 0).sum()),
        f"{budget}_losses": int((pairs[f"{column}_high"] < 0).sum()),
    }


def _changes(
    budget: str, target: str, pairs: pd.DataFrame, missed: pd.Series[bool]
) -> dict[str, Any]:
    """Claim B in one budget: changes in percent, smaller is better, not reached is the worst."""
    change = pairs[f"{budget}_to_{target}_change_percent"]
    values: dict[str, Any] = {
        f"{budget}_wins": int((change < 0).sum()),
        f"{budget}_losses": int((change > 0).sum() + missed.sum()),
    }
    if change.notna().any():
        values |= {
            f"{budget}_mean": change.mean(),
            f"{budget}_best": change.min(),
            f"{budget}_best_row": pairs.loc[change.idxmin(), "name"],
        }
    if missed.any():
        values[f"{budget}_worst_row"] = pairs.loc[missed, "name"].iloc[0]
    elif change.notna().any():
        values |= {
            f"{budget}_worst": change.max(),
            f"{budget}_worst_row": pairs.loc[change.idxmax(), "name"],
        }
    return values
