"""The two headline claims of the paper, beside what a grid measured.

Claim A is about accuracy at an equal number of epochs, claim B about epochs to an equal accuracy.
An epoch of a corrected run costs more than a plain one, so each claim stands beside its
counterpart at equal computation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agc.reports.labels import task_columns

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "arXiv 2301.03573, abstract"
# Claim, measure, what the abstract says in that measure's unit.
PAPER = {
    "A": ("test accuracy, points", 5.0),
    "A robust": ("robust accuracy, points", np.nan),
    "B": ("epochs to plain's best validation accuracy, %", -52.1),
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
    counted in ``not_reached``.
    ``diverged`` counts the corrected runs that gave no result.
    """
    import pandas as pd

    rows = []
    main = main.assign(name=_row_names(main))
    corrected = main[main["correction"] != ""]
    for (objective, correction), group in corrected.groupby(["objective", "correction"]):
        diverged = int(group["corrected_diverged"].sum())
        for claim in PAPER:
            values = _claim(claim, group)
            if values["rows"] or (diverged and claim != "A robust"):
                key = {"objective": objective, "correction": correction}
                rows.append(_head(claim) | key | values | {"diverged": diverged})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    names = [column for column in COLUMNS if column.endswith("_row")]
    frame[names] = frame[names].astype(object).fillna("")
    return frame.sort_values(["claim", "objective", "correction"], ignore_index=True)


def _row_names(main: pd.DataFrame) -> list[str]:
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
    measure, paper = PAPER[claim]
    source = SOURCE if np.isfinite(paper) else ""
    return {"claim": claim, "measure": measure, "paper": paper, "source": source}


def _claim(claim: str, group: pd.DataFrame) -> dict[str, Any]:
    if claim == "A":
        pairs = group[group["accuracy_difference_n"] > 0]
        own = _differences("epochs", "accuracy_difference", pairs)
        matched = _differences("units", "matched_accuracy_difference", pairs)
        planned = _differences("planned", "planned_accuracy_difference", pairs)
        return {"rows": len(pairs)} | own | matched | planned
    if claim == "A robust":
        pairs = group[group["robust_difference_n"] > 0]
        planned = _differences("planned", "planned_robust_difference", pairs)
        return {"rows": len(pairs)} | _differences("epochs", "robust_difference", pairs) | planned
    pairs = group[group["accuracy_crossing"] != ""]
    missed = int((pairs["accuracy_crossing"] == "not reached").sum())
    values: dict[str, Any] = {"rows": len(pairs), "not_reached": missed}
    for budget in ("epochs", "units", "seconds"):
        values |= _changes(budget, pairs)
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


def _changes(budget: str, pairs: pd.DataFrame) -> dict[str, Any]:
    """Claim B in one budget: changes in percent, smaller is better, not reached is the worst."""
    change = pairs[f"{budget}_to_accuracy_change_percent"]
    missed = pairs[pairs["accuracy_crossing"] == "not reached"]
    values: dict[str, Any] = {
        f"{budget}_wins": int((change < 0).sum()),
        f"{budget}_losses": int((change > 0).sum()) + len(missed),
    }
    if change.notna().any():
        values |= {
            f"{budget}_mean": change.mean(),
            f"{budget}_best": change.min(),
            f"{budget}_best_row": pairs.loc[change.idxmin(), "name"],
        }
    if len(missed):
        values[f"{budget}_worst_row"] = missed["name"].iloc[0]
    elif change.notna().any():
        values |= {
            f"{budget}_worst": change.max(),
            f"{budget}_worst_row": pairs.loc[change.idxmax(), "name"],
        }
    return values
