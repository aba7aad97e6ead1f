"""Negative and null results, and what was not run or gave no result, by name."""

from __future__ import annotations

from agc.reports.hypotheses.base import Finding
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Heading, Items, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.pages.shared.stages import COLUMNS, not_run, stage_counts
from agc.reports.tables.markup import TextTable, escape_markdown
from agc.reports.verdict import (
    EQUIVALENT,
    FAILS,
    HARM_OPEN,
    NO_FINDING,
    NOT_RUN,
    OPEN,
    RELEVANT_HARM,
    SMALL_HARM,
)

KINDS = {
    "no effect larger than the margin": (EQUIVALENT,),
    "no finding": (NO_FINDING,),
    "harm": (SMALL_HARM, HARM_OPEN, RELEVANT_HARM),
}
COUNTS = "Cells of each stage by what came of them."
NAMES = "Cells of which there is no record."


@SECTIONS.register("nulls", place=10, title="Null results, and what was not run")
def nulls(context: Context) -> list[Block]:
    """Lists by kind; then counts a stage, and cells by name."""
    blocks: list[Block] = [
        Items([_words(context.findings, word) for word in (FAILS, OPEN, NOT_RUN)])
    ]
    lines = [
        f"{kind}: {', '.join(found) or 'none'}."
        for kind, words in KINDS.items()
        for found in [_with(context.findings, words)]
    ]
    blocks += [wrapped("The estimates that decide, by their own verdicts:"), Items(lines)]
    counts = stage_counts(context)
    rows = [[name, *(str(row[key]) for key in COLUMNS)] for name, row in counts.iterrows()]
    blocks += [
        Heading("What was not run"),
        Table(TextTable("Stages", COUNTS, ["stage", *COLUMNS], rows)),
    ]
    if without := _without_result(context):
        blocks += [wrapped("Diverged, or without a result:"), Items(without)]
    if missing := not_run(context):
        rows = [list(pair) for pair in missing]
        table = TextTable("Cells that were not run", NAMES, ["stage", "cell"], rows, labels=2)
        blocks.append(Table(table, long=True, folded=True))
    return blocks


def _words(findings: list[Finding], word: str) -> str:
    keys = [found.hypothesis.key for found in findings if found.word == word]
    return f"{word}: {', '.join(keys) or 'none'}."


def _with(findings: list[Finding], words: tuple[str, ...]) -> list[str]:
    return [
        f"{found.hypothesis.key} ({escape_markdown(part.what)})"
        for found in findings
        for part in found.parts
        if part.deciding and part.verdict.word in words
    ]


def _without_result(context: Context) -> list[str]:
    lacking = context.records[context.records["status"] != "finished"]
    return [f"`{row.slug}`: {row.status}" for row in lacking.sort_values("slug").itertuples()]
