"""How learning rates were chosen."""

from __future__ import annotations

from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.tuning import tuning_sentence, tuning_table


@SECTIONS.register("tuning", place=5, title="Tuning")
def tuning(context: Context) -> list[Block]:
    """The sentence and the table of the choice; that there was none, where there was none."""
    if context.tuning is None:
        return [wrapped("No arm's learning rate was chosen by runs of its own.")]
    return [wrapped(tuning_sentence(context.tuning)), Table(tuning_table(context.tuning))]
