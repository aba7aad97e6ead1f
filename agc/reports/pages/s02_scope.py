"""Scope: what the answers are about, and what they are not."""

from __future__ import annotations

from agc.reports.labels import axis_columns
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Items
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.formatting import sparsity
from agc.reports.tables.markup import escape_markdown


@SECTIONS.register("scope", place=2, title="Scope")
def scope(context: Context) -> list[Block]:
    """Every entry of every axis that has a cell."""
    records = context.records
    lines = []
    for axis in axis_columns(records.columns):
        names = sorted(set(records[axis]))
        lines.append(f"{axis}: {escape_markdown(', '.join(names))}")
    zeros = ", ".join(sparsity(value) for value in sorted(set(records["sparsity"])))
    lines.append(f"sparsity: {zeros}")
    seeds = sorted({int(seed) for seed in records["seed"]})
    lines.append(f"seeds: {', '.join(map(str, seeds))}")
    return [
        wrapped(
            "The answers are about these networks, data and methods, trained on the machines named"
            " below. They are no answers about other scales: not about larger networks or images,"
            " nor about longer training than the longest here."
        ),
        Items(lines),
        wrapped(
            "A difference is one of the last epoch's test accuracy, unless a line says otherwise."
            " Rows are the ones that were chosen beforehand, not a sample of all possible ones."
        ),
    ]
