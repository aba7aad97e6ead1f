"""What the plan predicted of cells, beside what they took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.planning.planned import read_plan

if TYPE_CHECKING:
    import pandas as pd

PLANNED = ("trained", "total", "low", "high", "memory", "disk", "source")
"""What records tell of a plan: ``trained`` are seconds of training and of measuring after epochs,
``total`` all seconds, with their interval; ``memory`` and ``disk`` are bytes."""

Measure = tuple[str, str, str]

MEASURES: tuple[Measure, ...] = (
    ("processor seconds of training", "planned_trained", "cpu_seconds"),
    ("seconds of the clock, of all", "planned_total", "seconds_total"),
    ("peak memory, MB", "planned_memory", "peak_memory"),
    ("disk, MB", "planned_disk", "disk"),
)
"""What is compared: its name, what was predicted, what was measured."""

BYTES = 1e6
"""A megabyte."""


def read_predicted(folder: Path) -> dict[str, Any]:
    """What was predicted of a cell before it ran, and the bytes of its files; empty if nothing was.

    Raises:
        UserError: ``plan.json`` is damaged.
    """
    plan = read_plan(folder)
    if plan is None:
        return {}
    seconds = plan["seconds"]
    planned = {key: seconds[key] for key in ("total", "low", "high")}
    planned |= {"trained": seconds["train"] + seconds["evaluation"]}
    planned |= {key: plan[key] for key in ("memory", "disk", "source")}
    files = (file for file in folder.iterdir() if file.is_file())
    return {"planned": planned, "disk": sum(file.stat().st_size for file in files)}


def compare_costs(records: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame | None:
    """Predicted and measured cost of the finished cells that were planned with a calibration.

    A process keeps what it has taken, so its peak is that of the cells before, too; and the first
    of its cells pays for the imports.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.

    Returns:
        A row for each of ``MEASURES`` that is known on both sides: ``measure``, ``cells``,
        ``predicted`` and ``measured`` (sums; of memory the largest), ``error`` (median of the
        cells' relative errors), ``bias`` (median of predicted / measured), and of processor
        seconds ``within``, the share of cells within the plan's interval. None if there is none.
    """
    import pandas as pd

    known = _numbers(records, epochs)
    rows = []
    for name, predicted, measured in MEASURES:
        if known is None or predicted not in known or measured not in known:
            continue
        both = known[[predicted, measured]].dropna()
        both = both[both[measured] > 0]
        if both.empty:
            continue
        ratio = both[predicted] / both[measured]
        total = both.max() if measured == "peak_memory" else both.sum()
        scale = BYTES if name.endswith("MB") else 1.0
        rows.append(
            {
                "measure": name,
                "cells": len(both),
                "predicted": total[predicted] / scale,
                "measured": total[measured] / scale,
                "error": float((ratio - 1).abs().median()),
                "bias": float(ratio.median()),
                "within": _within(known.loc[both.index]) if measured == "cpu_seconds" else None,
            }
        )
    return pd.DataFrame(rows) if rows else None


def _within(known: pd.DataFrame) -> float:
    """Share of cells whose seconds lie in the plan's interval, which is of all seconds."""
    part = known["planned_trained"] / known["planned_total"]
    low, high = part * known["planned_low"], part * known["planned_high"]
    return float(known["cpu_seconds"].between(low, high).mean())


def _numbers(records: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame | None:
    """The columns of ``MEASURES``, by slug; None if nothing was predicted."""
    if "provenance_planned_total" not in records:
        return None
    done = records[records["status"] == "finished"].set_index("slug")
    names = [f"planned_{name}" for name in PLANNED if name != "source"]
    told = {name: f"provenance_{name}" for name in (*names, "peak_memory", "disk")}
    known = done[[column for column in told.values() if column in done]].astype(float)
    known = known.rename(columns={column: name for name, column in told.items()})
    known["seconds_total"] = done["seconds_total"]
    if "cpu_seconds" in epochs:
        spent = epochs.groupby("slug")["cpu_seconds"].sum(min_count=1)
        known["cpu_seconds"] = spent.reindex(known.index)
    return known
