"""Sensitivity: what each hypothesis would come to by other choices of the analyst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agc.reports.hypotheses.base import Finding
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.pages.shared.variants import read_otherwise
from agc.reports.statistics import CONFIDENCE
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.markup import TextTable
from agc.reports.verdict import NOT_RUN, measured

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "The first estimate of each hypothesis and its word, read as the preregistration says and"
    " otherwise. The preregistered reading counts."
)
AS_FIXED = "as preregistered"


@SECTIONS.register("sensitivity", place=9, title="Sensitivity")
def sensitivity(context: Context) -> list[Block]:
    """A line for each hypothesis that has been run, a column for each reading."""
    others = {AS_FIXED: list(context.findings), **read_otherwise(context.study)}
    run = [found.hypothesis.key for found in context.findings if found.word != NOT_RUN]
    words = {name: {f.hypothesis.key: f for f in found} for name, found in others.items()}
    rows = [[key, *(_cell(own[key]) for own in words.values())] for key in run]
    table = TextTable("Other readings", CAPTION, ["", *words], rows, labels=1)
    changed = {name: _changed(run, words[AS_FIXED], own) for name, own in words.items()}
    told = [f"{name}: {', '.join(keys)}" for name, keys in changed.items() if keys]
    said = "Another word than the preregistered reading gives: " + ("; ".join(told) or "none") + "."
    return [wrapped(said), Table(table, long=True), wrapped(_rows(context))]


def _changed(run: Sequence[str], fixed: dict[str, Finding], other: dict[str, Finding]) -> list[str]:
    return [f"{key} ({other[key].word})" for key in run if other[key].word != fixed[key].word]


def _cell(found: Finding) -> str:
    if not found.parts:
        return MISSING
    part = found.parts[0]
    return f"{measured(part.value, part.verdict) or MISSING}, {found.word}"


def _rows(context: Context) -> str:
    """How many rows' intervals exclude no difference, by their own spread and by a shared one."""
    main = context.comparison.main
    known = main[main["accuracy_difference_low"].notna()]
    own = _excluding(known["accuracy_difference_low"], known["accuracy_difference_high"])
    name = "accuracy_difference_{}_pooled"
    shared = _excluding(known[name.format("low")], known[name.format("high")])
    left = int((known["accuracy_difference_p_bh"] < 1 - CONFIDENCE).sum())
    return (
        f"Of {len(known)} rows with an interval {own} exclude no difference by the spread of their"
        f" own pairs, {shared} by that which the rows of a sparsity share, and {left} after"
        " Benjamini and Hochberg's adjustment."
    )


def _excluding(low: pd.Series, high: pd.Series) -> int:
    return int(((low > 0) | (high < 0)).sum())
