"""PGD and JIIO on equilibrium networks: what each reached, and by how many calls of the cell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agc.reports.labels import row_columns
from agc.reports.statistics import paired_difference, summarize

if TYPE_CHECKING:
    import pandas as pd

EQUILIBRIUM = "final_equilibrium"
"""Column of the records, as JSON: what a result says of an equilibrium network alone."""

FILE = "solvers.csv"
SOLVER = "solver"
REFERENCE = ("pgd", 20)
"""What the others are compared with: solver and steps."""

USUAL = "_pgd"
"""What ends the columns of the run by PGD that one by JIIO stands beside."""

BESIDE = ("gap", "fewer", "fewer_stopped")
MEASURED = ("loss", "accuracy", "cell_calls", "cell_vjps", "unconverged")


def solver_runs(records: pd.DataFrame) -> pd.DataFrame | None:
    """A row for each cell, solver and budget; None if no cell has such measurements.

    The labels of the cell, ``seed``, ``solver``, ``steps``, what was measured, ``gap``: the loss
    minus that of the reference on the same network, ``fewer``: the reference's calls of the cell by
    these, and ``fewer_stopped``: the same if each of the reference's solves had stopped at a change
    of 0.001, as on validation images, and not after a fixed number of calls.
    """
    import pandas as pd

    if EQUILIBRIUM not in records:
        return None
    keys = [*row_columns(records.columns), "recipe", "correction", "seed"]
    rows = []
    for record in records[records["status"] == "finished"].to_dict("records"):
        told = _told(record)
        course = told.get("solvers", [])
        by = {(one[SOLVER], one["steps"]): one for one in course}
        if REFERENCE not in by:
            continue
        usual = by[REFERENCE]
        # A step calls the cell once more for its gradient.
        stopped = REFERENCE[1] * (told["iterations"] + 1)
        for one in course:
            beside = {
                "gap": one["loss"] - usual["loss"],
                "fewer": usual["cell_calls"] / one["cell_calls"],
                "fewer_stopped": stopped / one["cell_calls"],
            }
            rows.append({key: record[key] for key in keys} | one | beside)
    return pd.DataFrame(rows) if rows else None


def solvers(records: pd.DataFrame) -> pd.DataFrame | None:
    """The same by arm: means over seeds, and the gap with its 95 % t interval."""
    runs = solver_runs(records)
    if runs is None:
        return None
    left = {"seed", SOLVER, "steps", *MEASURED, *BESIDE}
    return together(runs, [name for name in runs if name not in left])


def together(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means of what has ``keys``, solver and budget in common, first over the runs of a seed."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for key, group in runs.groupby([*keys, SOLVER, "steps"], sort=False):
        seeds = group.groupby("seed")[[*MEASURED, *BESIDE]].mean()
        gap = paired_difference(seeds["gap"])
        row = dict(zip([*keys, SOLVER, "steps"], key, strict=True))
        row |= {"seeds": len(seeds), "runs": len(group)}
        row |= {name: summarize(seeds[name]).mean for name in (*MEASURED, *BESIDE[1:])}
        rows.append(row | {"gap": gap.mean, "gap_low": gap.low, "gap_high": gap.high})
    return pd.DataFrame(rows)


def fixed_points(records: pd.DataFrame) -> pd.DataFrame:
    """By arm, means over seeds: units, robust accuracy by each solver and by both, fractions, and
    how the fixed points are solved.
    """
    import pandas as pd

    keys = [*row_columns(records.columns), "recipe", "correction"]
    done = records[(records["status"] == "finished") & records[EQUILIBRIUM].notna()]
    rows = []
    for key, group in done.groupby(keys, sort=True):
        told = pd.DataFrame([_told(record) for record in group.to_dict("records")])
        row = dict(zip(keys, key, strict=True)) | {"runs": len(group)}
        names = ("robust_accuracy_pgd", "robust_accuracy_jiio", "residual", "iterations")
        row |= {name: summarize(told[name]).mean for name in (*names, "contraction")}
        row["unconverged"] = int(told["unconverged"].sum())
        row["robust_accuracy"] = summarize(group["final_robust_accuracy"]).mean
        row["units"] = summarize(group["units"]).mean
        row["accuracy"] = summarize(group["final_test_accuracy"]).mean
        rows.append(row)
    return pd.DataFrame(rows)


def trainings(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each objective that was trained by JIIO and by PGD.

    Pairs of runs are alike but for the objective, and are averaged first over those of a seed:
    ``pairs``, ``gain`` of JIIO in the accuracy under both attacks, in points, with its 95 % t
    interval over seeds, and how many times fewer ``cell_calls`` and ``units`` its training took.
    """
    import pandas as pd

    done = records[(records["status"] == "finished") & records[EQUILIBRIUM].notna()]
    alike = [key for key in row_columns(records.columns) if key != "objective"]
    alike += ["recipe", "correction", "seed"]
    jointly = done["objective"].str.contains("solver=jiio", regex=False)
    pairs = done[jointly].merge(done[~jointly], on=alike, suffixes=("", USUAL))
    pairs = pairs[_entry(pairs["objective"]) == _entry(pairs[f"objective{USUAL}"])]
    gain = pairs["final_robust_accuracy"] - pairs[f"final_robust_accuracy{USUAL}"]
    fewer = {name: pairs[name + USUAL] / pairs[name] for name in ("cell_calls", "units")}
    pairs = pairs.assign(gain=100 * gain, **fewer)
    rows = []
    for (by, usual), group in pairs.groupby(["objective", f"objective{USUAL}"], sort=True):
        seeds = group.groupby("seed")[["gain", *fewer]].mean()
        found = paired_difference(seeds["gain"])
        row = {"objective": by, "instead_of": usual, "pairs": len(group), "gain": found.mean}
        row |= {"low": found.low, "high": found.high}
        rows.append(row | {name: seeds[name].mean() for name in fewer})
    return pd.DataFrame(rows)


def _entry(labels: pd.Series) -> pd.Series:
    """The entry's name, of labels with options."""
    return labels.str.split("(").str[0]


def conclusion(arms: pd.DataFrame) -> str:
    """In one sentence, how many calls JIIO needs for what the reference reaches.

    Args:
        arms: as of :func:`solvers`.
    """
    keys = list(arms.columns[: list(arms.columns).index(SOLVER)])
    found, lacking = [], 0
    for _, arm in arms.groupby(keys, sort=False):
        reached = arm[(arm[SOLVER] == "jiio") & (arm["gap"] >= 0)]
        lacking += not len(reached)
        found += [reached.loc[reached["fewer"].idxmax()]] if len(reached) else []
    solver, steps = REFERENCE
    goal, count = f"the cross-entropy of {solver.upper()}-{steps}", len(found) + lacking
    if not found:
        return f"JIIO reaches {goal} in none of {count} arms"
    counted, stopped = (_times([row[key] for row in found]) for key in BESIDE[1:])
    return (
        f"JIIO reaches {goal} by {counted} times fewer cell calls in {len(found)} of {count} arms"
        f" ({stopped} times, had PGD's solves stopped at a change of 0.001)"
    )


def _times(values: list[float]) -> str:
    """``6.2 to 12.5``, or one number."""
    least, most = f"{min(values):.1f}", f"{max(values):.1f}"
    return least if least == most else f"{least} to {most}"


def _told(record: dict[str, Any]) -> dict[str, Any]:
    text = record[EQUILIBRIUM]
    return json.loads(text) if isinstance(text, str) else {}
