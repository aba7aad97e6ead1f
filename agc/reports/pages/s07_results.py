"""Results: for each hypothesis its question, its rule, its estimates and what they come to."""

from __future__ import annotations

from agc.reports.figures.hypotheses import STEM
from agc.reports.hypotheses.base import Finding
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Heading, Items, Picture, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.hypotheses import FILE, parts_table, says
from agc.reports.tables.ladder import SHOWN, ladder_table
from agc.reports.tables.markup import escape_markdown

LADDER = "H2"


@SECTIONS.register("results", place=7, title="Results")
def results(context: Context) -> list[Block]:
    """A part for each hypothesis, after the forest of all."""
    blocks: list[Block] = [
        wrapped(
            "Of each hypothesis: how its question was made an estimate, the rule that was fixed"
            f" before, and all estimates. Every digit is in `{FILE}`, tables are in `report.html`."
        )
    ]
    blocks += _pictures(context, STEM, "estimates of all hypotheses")
    for found in context.findings:
        blocks += _part(found)
        if found.hypothesis.key == LADDER and len(context.comparison.ladder):
            blocks.append(Table(ladder_table(context.comparison.ladder, SHOWN), long=True))
            blocks += _pictures(context, "ladder", "error over budgets")
    return blocks


def _part(found: Finding) -> list[Block]:
    hypothesis = found.hypothesis
    kind = "confirmatory" if hypothesis.confirmatory else "exploratory"
    reads, holds, fails = map(
        escape_markdown, (hypothesis.reads, hypothesis.holds, hypothesis.fails)
    )
    lines = [
        f"**{found.word}**, {kind}. Estimate: {reads}. Holds if {holds}; does not if {fails}.",
    ]
    lines += [
        f"{escape_markdown(part.what)} ({says(part)}): {escape_markdown(part.sentence)}."
        for part in sorted(found.parts, key=lambda part: not part.deciding)
    ]
    heading = f"{hypothesis.key}: {escape_markdown(hypothesis.asks)}"
    blocks: list[Block] = [Heading(heading), Items(lines)]
    return [*blocks, Table(parts_table([found]), long=True)] if found.parts else blocks


def _pictures(context: Context, stem: str, alt: str) -> list[Block]:
    return [
        Picture(path, alt)
        for name, path in sorted(context.pictures.items())
        if name == stem or name.startswith(f"{stem}-")
    ]
