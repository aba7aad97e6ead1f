"""The verdict box: what each hypothesis comes to."""

from __future__ import annotations

from agc.reports.hypotheses.base import Finding
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.pages.shared.stages import stage_counts
from agc.reports.tables.hypotheses import verdict_box
from agc.reports.tables.markup import escape_markdown
from agc.reports.verdict import HOLDS, NOT_RUN, OPEN

ASSAY = "H0"


@SECTIONS.register("answers", place=1, title="Answers")
def answers(context: Context) -> list[Block]:
    """The box, before it what was planned and run, after it what the assay allows to say."""
    counts = stage_counts(context)
    done = counts["finished"].iloc[-1] + counts["diverged"].iloc[-1]
    text = context.description.strip().rstrip(".")
    said = f"{escape_markdown(text[:1].upper() + text[1:])}. " * bool(text)
    said += f"{done} of {counts['planned'].iloc[-1]} planned cells have been run."
    if done < counts["planned"].iloc[-1]:
        said += " What is said below is preliminary until a block of seeds is complete."
    blocks: list[Block] = [wrapped(said)]
    if context.preregistered:
        blocks.append(
            wrapped(
                "Questions, margins and rules were fixed in"
                f" [{context.preregistered}]({context.preregistered}) before a cell was trained"
                " that they are about."
            )
        )
    blocks.append(Table(verdict_box(context.findings)))
    assay = context.finding(ASSAY)
    return blocks if assay is None else [*blocks, wrapped(assay_sentence(assay))]


def assay_sentence(assay: Finding) -> str:
    """What the assay allows to say of everything else."""
    key = assay.hypothesis.key
    if assay.word == HOLDS:
        return f"{key} holds: in this arena a difference shows, and none is made up."
    if assay.word in (OPEN, NOT_RUN):
        return f"{key} is {assay.word}: until it holds, nothing else here is interpreted."
    return f"{key} does not hold: nothing else here is interpreted."
