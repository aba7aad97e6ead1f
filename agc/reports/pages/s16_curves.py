"""Learning curves: how each arm of each stage came to its last epoch."""

from __future__ import annotations

from agc.reports.curves import read_curves
from agc.reports.figures.style import looks
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Curves
from agc.reports.web.curves import learning_curves


@SECTIONS.register("curves", place=16, title="Learning curves")
def curves(context: Context) -> list[Block]:
    """Panels of every stage that has a finished cell; a cell of several stages is in each."""
    study = context.study
    courses = read_curves(study.records, study.epochs)
    styles = looks(list(study.records["correction"]))
    figures = {
        stage: panels
        for stage in sorted(study.stages)
        if (panels := learning_curves(study.of(stage), courses, styles))
    }
    return [Curves(figures)] if figures else []
