"""What the forest plot shows: an effect with its interval for all rows together, and for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import PLAIN, finished, is_placebo, paired
from agc.reports.labels import task_columns
from agc.reports.rows import row_intervals
from agc.reports.verdict import POINTS

if TYPE_CHECKING:
    import pandas as pd

ACCURACY = "final_test_accuracy"
ALL_DIVERGED, NO_PAIR = "all diverged", "no pair"
COLUMNS = [
    *("method", "sparsity", "recipe", "correction", "pooled", "rows", "seeds", "n"),
    *("mean", "low", "high", "detectable", "headroom", "units", "plain_units"),
    *("margin", "note", "verdict"),
]


class Pairs(NamedTuple):
    """One row: both arms of a method × sparsity × recipe, and their paired differences.

    ``key`` are the row's axes and recipe; ``differences`` [pairs] are in percentage points.
    """

    key: dict[str, Any]
    plain: pd.DataFrame
    corrected: pd.DataFrame
    differences: NDArray[np.float64]


def pairs(records: pd.DataFrame) -> list[Pairs]:
    """Each row that has both arms, in the order of the tables, a placebo after all others.

    Differences are of final test accuracy. A row of which no pair has a result has none.
    """
    keys = [*task_columns(records.columns), "method", "sparsity", "recipe"]
    found = []
    for key, group in records.groupby(keys, sort=True):
        plain = group[group["correction"] == PLAIN]
        names = sorted(
            set(group["correction"]) - {PLAIN}, key=lambda name: (is_placebo(name), name)
        )
        for name in names if len(plain) else []:
            corrected = group[group["correction"] == name]
            differences = paired(finished(plain), finished(corrected), ACCURACY)
            points = POINTS.factor * differences[~np.isnan(differences)]
            labels = dict(zip(keys, key, strict=True)) | {"correction": name}
            found.append(Pairs(labels, plain, corrected, points))
    return found


def forest_rows(records: pd.DataFrame, estimates: pd.DataFrame) -> pd.DataFrame:
    """A line of the forest for each row, and before the rows of a task one for each estimate.

    ``mean``, its 95 % interval ``low`` to ``high``, the smallest ``detectable`` effect, the
    ``headroom`` (how far none's mean is from 100 %) and the ``margin`` are in percentage points. A
    row's interval has the spread that all rows of its sparsity share; NaN: there is none. ``n`` of
    ``seeds`` pairs have a result. ``note`` says of a row why it has no mean; ``units`` are those
    of an epoch. Lines that are ``pooled`` are those of ``estimates``, with their ``verdict``.

    Args:
        records: a row for each cell, as collected.
        estimates: as of :func:`agc.reports.pooled.pooled`.
    """
    import pandas as pd

    task = task_columns(records.columns)
    shown = estimates[(estimates["measure"] == "accuracy") & (estimates["budget"] == "epochs")]
    everything = pairs(records)
    lines: list[dict[str, Any]] = []
    for key in dict.fromkeys(tuple(row.key[name] for name in task) for row in everything):
        mine = [row for row in everything if tuple(row.key[name] for name in task) == key]
        singles = [line for _, line in sorted(_single(mine).items())]
        together = shown[(shown[task] == list(key)).all(axis=1)].to_dict("records")
        together.sort(key=lambda line: _placebo_last(line["correction"]))
        margin = together[0]["margin"] if together else np.nan
        lines += [_together(line, task) for line in together]
        lines += [line | {"margin": margin} for line in singles]
    return pd.DataFrame(lines, columns=[*task, *COLUMNS])


def _placebo_last(correction: str) -> tuple[bool, str]:
    return is_placebo(correction), correction


def _single(rows: list[Pairs]) -> dict[int, dict[str, Any]]:
    """The lines of a task's rows by their place; the rows of a correction share their spread."""
    found = {}
    for name in {row.key["correction"] for row in rows}:
        places = [place for place, row in enumerate(rows) if row.key["correction"] == name]
        own = [rows[place] for place in places]
        intervals = row_intervals(
            [row.differences for row in own], [row.key["sparsity"] for row in own]
        )
        for place, row, interval in zip(places, own, intervals, strict=True):
            seeds = len(set(row.plain["seed"]) | set(row.corrected["seed"]))
            # What is left of a sum that is 0 is another number on every machine.
            effect = {
                key: round(getattr(interval, key), 10) + 0.0 for key in ("mean", "low", "high")
            }
            found[place] = row.key | {
                **{"pooled": False, "rows": 1, "seeds": seeds, "n": interval.n, "verdict": ""},
                **effect,
                "detectable": interval.mde,
                "headroom": POINTS.factor * (1 - finished(row.plain)[ACCURACY].mean()),
                "units": finished(row.corrected)["units_per_epoch"].mean(),
                "plain_units": finished(row.plain)["units_per_epoch"].mean(),
                "note": "" if interval.n else _why(row),
            }
    return found


def _why(row: Pairs) -> str:
    arms = (row.plain, row.corrected)
    diverged = any((arm["status"] == "diverged").all() for arm in arms)
    return ALL_DIVERGED if diverged else NO_PAIR


def _together(line: dict[str, Any], task: list[str]) -> dict[str, Any]:
    kept = (*task, "correction", "rows", "mean", "low", "high", "detectable", "margin", "verdict")
    return {key: line[key] for key in kept} | {
        **{"pooled": True, "method": "", "sparsity": 0.0, "recipe": ""},
        **{"seeds": line["pairs"], "n": line["pairs"], "headroom": np.nan},
        **{"units": np.nan, "plain_units": np.nan, "note": "" if line["pairs"] else NO_PAIR},
    }
