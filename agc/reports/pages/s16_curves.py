"""Learning curves: how each arm of each stage came to its last epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.arms import PLAIN
from agc.reports.curves import read_curves
from agc.reports.figures.style import looks
from agc.reports.labels import task_columns
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Curves
from agc.reports.web.curves import learning_curves

if TYPE_CHECKING:
    import pandas as pd


@SECTIONS.register("curves", place=16, title="Learning curves")
def curves(context: Context) -> list[Block]:
    """Panels of every stage that has a finished cell; a cell of several stages is in each, and
    plain runs stand beside the corrected ones of their row, whatever stage they are of.
    """
    study = context.study
    courses, styles = (
        read_curves(study.records, study.epochs),
        looks(list(study.records["correction"])),
    )
    figures = {
        stage: panels
        for stage in sorted(study.stages)
        if (panels := learning_curves(_with_plain(study.of(stage), study.records), courses, styles))
    }
    return [Curves(figures)] if figures else []


def _with_plain(cells: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Cells and the plain ones that differ from one of them in correction and seed alone."""
    import pandas as pd

    row = [*task_columns(records.columns), "recipe", "method", "sparsity"]
    plain = records[records["correction"] == PLAIN].merge(cells[row].drop_duplicates(), on=row)
    return pd.concat([cells, plain]).drop_duplicates("slug")
