"""What nothing looks like, and whether this arena could have told."""

from __future__ import annotations

from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.s01_answers import ASSAY, assay_sentence
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.calibration import HEADING, WITHOUT, calibration_table, unmoved
from agc.reports.tables.markup import escape_markdown


@SECTIONS.register("assay", place=8, title=HEADING)
def assay(context: Context) -> list[Block]:
    """The assay's sentences, and each pooled estimate beside that of the placebo."""
    found = context.finding(ASSAY)
    blocks: list[Block] = []
    if found is not None:
        said = [f"{part.what}: {part.sentence}." for part in found.parts if part.deciding]
        blocks.append(wrapped(escape_markdown(" ".join([assay_sentence(found), *said]))))
    table = context.comparison.calibration
    if table is None:
        return [*blocks, wrapped(WITHOUT)]
    blocks.append(Table(calibration_table(table), long=True, folded=True))
    text = unmoved(table) or "The placebo's noise moved every run."
    return [*blocks, wrapped(f"{text} All of it with every digit: `calibration.csv`.")]
