"""The paper's claims, and how each was made operational."""

from __future__ import annotations

from agc.reports.claims import PAPER, SOURCE
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.formatting import change, points
from agc.reports.tables.markup import TextTable
from agc.reports.tables.published import coverage

ASKED = {"A budgets": "H10", "A": "H1", "B levels": "H10", "B": "H2"}
"""Claim of the paper, and the hypothesis that asks for it."""
CAPTION = (
    "The paper's numbers with their places, and the hypothesis that each became. Its percent of"
    " accuracy are read as points."
)


@SECTIONS.register("claims", place=3, title="The paper's claims")
def paper_claims(context: Context) -> list[Block]:
    """A line for each claim that a hypothesis asks for."""
    rows = []
    for name, key in ASKED.items():
        claim, found = PAPER[name], context.finding(key)
        number = points(claim.paper) if claim.unit == "points" else change(claim.paper)
        unit = f" {claim.unit}" * (claim.unit == "points")
        asked = "" if found is None else f"{key}: {found.hypothesis.reads}"
        word = "" if found is None else found.word
        rows.append([claim.measure, f"{number}{unit}", claim.place, asked, word])
    header = ["measure", "the paper", "place", "made operational as", "by the rule"]
    blocks: list[Block] = [
        wrapped(f"The paper is {SOURCE}. {_up_to()}"),
        Table(TextTable("Claims", CAPTION, header, rows, labels=5, wrapped=(0, 2, 3))),
    ]
    beside = context.comparison.published
    if beside is not None and beside.total:
        blocks.append(wrapped(f"Figures that others published: {coverage(beside)}"))
    return blocks


def _up_to() -> str:
    gap, last = PAPER["A budgets"].paper, PAPER["A"].paper
    fewer, top = -PAPER["B levels"].paper, -PAPER["B"].paper
    return (
        f'Its "up to {gap:.1f} %" more accuracy is a mean over epochs within one training, of which'
        f' the last has {last:+.1f} points; its "up to {fewer:.1f} %" fewer epochs is a mean over'
        f" levels of accuracy, of which the top one has {top:.1f} %. Both are the largest of"
        " several, and the largest of several is above zero without any effect."
    )
