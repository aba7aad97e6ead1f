"""Where the numbers of a report come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.records.failure import WITHOUT_RESULT
from agc.reports.machines import summarize_machines

if TYPE_CHECKING:
    import pandas as pd

VERSIONS = ("agc", "git_commit", "python", "torch", "timm", "numpy", "torchattacks")


def summarize_provenance(records: pd.DataFrame) -> dict[str, Any]:
    """Versions, commits, machines, times and number of cells behind collected records.

    Host names stay in the records: a report is made to be published. Cells without a result are
    listed under ``without_result``, if there are any. Of the machines all that
    :func:`agc.reports.machines.summarize_machines` finds.
    """
    lacking = records[records["status"].isin(WITHOUT_RESULT)]
    summary: dict[str, Any] = {
        "cells": len(records),
        "diverged": int((records["status"] == "diverged").sum()),
        "seeds": sorted({int(seed) for seed in records["seed"]}),
        "revision": sorted({int(revision) for revision in records["revision"]}),
        "git_dirty": bool((records["provenance_git_dirty"] == "True").any()),
        "started": records["provenance_started"].min(),
        "finished": records["provenance_finished"].max(),
        "train_seconds": round(float(records["seconds_train"].sum()), 1),
    }
    for key in VERSIONS:
        summary[key] = sorted(set(records[f"provenance_{key}"].dropna()))
    if len(lacking):
        summary["without_result"] = [
            {"slug": row.slug, "status": row.status, "reason": row.warnings}
            for row in lacking.itertuples()
        ]
        records = records.drop(lacking.index)
    return summary | summarize_machines(records)
