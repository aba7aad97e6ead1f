"""Entries of an axis against its default: optimizers against SGD, as corrections against none.

Later axes have a default that cells without them have (:mod:`agc.grids.axes`). What a grid says of
an entry is the difference to runs that have the default there and are alike in all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.grids.axes import AXES
from agc.reports.arms import PLAIN
from agc.reports.pooled import MARGIN, pooled
from agc.reports.text.effects import effects, judge_rows
from agc.reports.verdict import POINTS

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

AXIS, ENTRY = "axis", "entry"
BITS = ("bit_flops", "bit_flops_published", "simulated_passes")
"""Costs that records of quantised cells alone have."""
FILE = "entries.csv"


def compared_axes(records: pd.DataFrame) -> list[str]:
    """Names of the later axes on which a grid has the default and something else."""
    return [
        name
        for name, axis in AXES.items()
        if axis.since and name in records and {axis.default} < set(records[name])
    ]


def as_arms(records: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The records with an axis in the place of the correction, its default as the plain arm.

    What was corrected stands with the method, so that only runs with the same correction pair. The
    rate that an arm's tuning chose is a property of the arm.

    Args:
        records: a row for each cell, as collected.
        axis: one of :func:`compared_axes`.
    """
    corrected = records["correction"] != PLAIN
    method = records["method"].where(~corrected, records["method"] + " + " + records["correction"])
    entry = records[axis].replace({AXES[axis].default: PLAIN})
    return records.drop(columns=axis).assign(method=method, correction=entry)


def pooled_entries(records: pd.DataFrame, margin: Margin = MARGIN) -> pd.DataFrame | None:
    """Pooled differences of each entry to the default of its axis; None without such an axis.

    The columns of :func:`agc.reports.pooled.pooled`, after the ``axis``, with ``entry`` in the
    place of the correction; Holm's adjustment is over the entries of an axis.
    """
    import pandas as pd

    found = []
    for axis in compared_axes(records):
        lines = pooled(as_arms(records, axis), margin).rename(columns={"correction": ENTRY})
        lines.insert(0, AXIS, axis)
        found.append(lines)
    return pd.concat(found, ignore_index=True) if found else None


def entry_rows(records: pd.DataFrame, axis: str, margin: Margin = MARGIN) -> list[dict[str, Any]]:
    """Each entry in each row of a grid beside the default: accuracies, difference, verdict.

    ``p`` is adjusted over all of them by Benjamini and Hochberg. ``loss`` is the mean training loss
    of the last epoch, ``units`` those of an epoch, ``lr`` the rate that was chosen, NaN where none
    was. Accuracies are fractions. If the grid has quantised cells, ``BITS`` are there as well,
    FLOPs as shares of a dense training's in float32, and ``base_flops``, those of the default.
    """
    own = as_arms(records, axis)
    arms = sorted(set(own["correction"]) - {PLAIN})
    found = [effect for arm in arms for effect in effects(own, arm)]
    judged = judge_rows(found, margin.accuracy / POINTS.factor, "fdr_bh")
    rows = []
    for effect, one in zip(found, judged, strict=True):
        alike = own["status"] == "finished"
        for key, value in effect.labels.items():
            alike &= own[key] == value
        runs, default = (own[alike & (own["correction"] == arm)] for arm in (effect.arm, PLAIN))
        rows.append(
            {
                ENTRY: effect.arm,
                **effect.labels,
                "base": effect.base,
                "accuracy": effect.corrected,
                "judged": one,
                "loss": runs["final_train_loss"].mean(),
                "units": runs["units_per_epoch"].mean(),
                "lr": runs["lr"].iloc[0] if "lr" in runs else float("nan"),
                **_weighted(runs, default),
            }
        )
    return rows


def _weighted(runs: pd.DataFrame, default: pd.DataFrame) -> dict[str, float]:
    if not {*BITS} <= {*runs}:
        return {}
    flops = {"base_flops": _relative(default, "training_flops")}
    flops |= {key: _relative(runs, key) for key in BITS[:2]}
    return {**flops, BITS[2]: runs[BITS[2]].mean()}


def _relative(runs: pd.DataFrame, key: str) -> float:
    return (runs[key] / runs["dense_training_flops"]).mean()
