"""What was planned in each stage of a study, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agc.reports.pages.base import Context

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("planned", "finished", "diverged", "without a result", "not run")
ALL = "all, each cell once"


def stage_counts(context: Context) -> pd.DataFrame:
    """Cells of each stage by what came of them, and in the last line those of all stages.

    A cell of several stages counts in each, and once in the last line.
    """
    import pandas as pd

    status = context.records.set_index("slug")["status"]
    stages = context.study.stages
    together = frozenset().union(*stages.values()) if stages else frozenset()
    lines = {**dict(sorted(stages.items())), ALL: together}
    return pd.DataFrame({name: _counts(slugs, status) for name, slugs in lines.items()}).T


def not_run(context: Context) -> list[tuple[str, str]]:
    """Stage and name of each cell of which there is no record."""
    known = set(context.records["slug"])
    return [
        (stage, slug)
        for stage, slugs in sorted(context.study.stages.items())
        for slug in sorted(slugs - known)
    ]


def _counts(slugs: Iterable[str], status: pd.Series) -> dict[str, int]:
    slugs = list(slugs)
    own = status[status.index.isin(slugs)]
    finished, diverged = int((own == "finished").sum()), int((own == "diverged").sum())
    lacking = len(own) - finished - diverged
    values = (len(slugs), finished, diverged, lacking, len(slugs) - len(own))
    return dict(zip(COLUMNS, values, strict=True))
