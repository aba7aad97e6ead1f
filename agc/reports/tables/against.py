"""What a second set of records says of the first, in the terminal, within 120 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agc.reports.against import IDENTICAL, NOT_REPRODUCED, OPEN, REPRODUCED, Agreement, Check
from agc.reports.rows import Estimate
from agc.reports.same_cells import SameCells
from agc.reports.statistics import CONFIDENCE
from agc.reports.tables.formatting import MISSING, percent, points

if TYPE_CHECKING:
    from rich.console import Console

HEADER = ("objective", "correction", "of", "here", "there", "here - there", "verdict")
LEGEND = (
    "Points; an effect is that of the correction minus none, paired by seed, its mean that of the"
    " rows. Here - there: of two independent draws, with its 95 % and 90 % interval. Reproduced:"
    " the 90 % interval lies within the margin; not reproduced: the 95 % interval lies beyond it;"
    " open: these runs cannot say, and agree within no less than what follows. Rows alone decide"
    " nothing."
)


def print_check(check: Check, here: str, there: str, console: Console) -> None:
    """Print how many cells have the same bits, each number in both sets, and the verdict.

    Args:
        check: what to print.
        here: name of the first set, such as its folder.
        there: name of the other.
        console: where to.
    """
    for line in head(check.same, here, there):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if check.word != IDENTICAL:
        effects = [found for found in check.pooled if found.effect]
        levels = [found for found in check.pooled if not found.effect]
        _print(console, "Effects, all rows", effects)
        _print(console, "Levels, all rows", levels)
        _print(console, "Effects, row by row", check.rows)
        console.print(LEGEND, highlight=False, markup=False, style="dim")
    console.print(conclusion(check), highlight=False, markup=False, soft_wrap=True)


def head(same: SameCells, here: str, there: str) -> list[str]:
    """Which cells are compared, and how many of them have the same bits."""
    lines = [f"here: {here}; there: {there}"]
    if same.by == "labels":
        one, other = same.revisions
        why = f"revision {_listed(one)} here, {_listed(other)} there"
        if one == other:
            why = f"both are revision {_listed(one)}, so some setting differs"
        lines.insert(
            0,
            f"matched by labels, as no slug is in both ({why}); "
            "what all cells of a set share is in no label",
        )
    total = len(same.here)
    count = int(same.identical.sum())
    lines.append(
        f"{total} cells in both, {same.only_here} only here, {same.only_there} only there; "
        f"{count} of {total} bit-identical"
    )
    if alike := int((same.alike & ~same.identical).sum()):
        lines.append(
            f"{alike} more have the same losses and accuracies, and differ in "
            + ", ".join(same.unlike)
        )
    if same.other_status:
        lines.append(f"{same.other_status} cells finished in one set and diverged in the other")
    return lines


def conclusion(check: Check) -> str:
    """The last line: what holds of all numbers, or which do not let it hold."""
    if check.word == IDENTICAL:
        return "identical: everything that was measured has the same bits"
    margins = {found.measure: found.margin for found in check.pooled}
    within = ", ".join(f"±{100 * margin:g} ({name})" for name, margin in margins.items())
    if check.word == REPRODUCED:
        return f"reproduced: every effect and level within {within} points"
    named = [_name(found) for found in check.pooled if found.word == check.word]
    if check.word == NOT_REPRODUCED:
        return f"not reproduced: beyond {within} points: {'; '.join(named)}"
    reasons = []
    if named:
        reasons.append(f"too few or too scattered runs to tell within {within} points: ")
        reasons[0] += "; ".join(named)
    if check.same.other_status:
        reasons.append(f"{check.same.other_status} cells finished in one set alone")
    if not check.pooled:
        reasons.append("no cell finished in both, so no number can be compared")
    return f"open, which is not reproduced: {'; and '.join(reasons)}"


def _listed(revisions: Sequence[int]) -> str:
    return " and ".join(map(str, revisions))


def _name(found: Agreement) -> str:
    kind = "effect of" if found.effect else "level of"
    return f"{found.objective}, {found.measure}, {kind} {found.correction}"


def _print(console: Console, title: str, numbers: Sequence[Agreement]) -> None:
    from rich.table import Table

    if not numbers:
        return
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for index, name in enumerate(HEADER):
        table.add_column(name, overflow="fold", justify="right" if 2 < index < 6 else "left")
    for found in numbers:
        table.add_row(
            found.objective,
            found.correction,
            f"{found.measure}, {found.row or _rows(found)}",
            _estimate(found.here, found),
            _estimate(found.there, found),
            _gap(found),
            _verdict(found),
        )
    console.print(table)
    console.print()


def _rows(found: Agreement) -> str:
    """How many rows are pooled, and how many are not, for only one set has a number of them."""
    return f"{found.rows} rows" + (f", {found.lost} in one set alone" if found.lost else "")


def _estimate(own: Estimate, found: Agreement) -> str:
    """The mean, with its 95 % interval if it is one of all rows; a level is in percent."""
    from scipy.stats import t

    show = (lambda value: points(100 * value)) if found.effect else percent
    text = show(own.mean)
    if found.row or not own.se > 0:
        return text
    half = float(t.ppf(0.5 + CONFIDENCE / 2, own.df)) * own.se
    return f"{text}\n[{show(own.mean - half)}, {show(own.mean + half)}]"


def _gap(found: Agreement) -> str:
    if found.word == IDENTICAL:
        return MISSING
    gap = found.gap
    text = points(100 * gap.mean)
    if np.isnan(gap.low):
        return text
    low, high, low90, high90 = (
        points(100 * end) for end in (gap.low, gap.high, gap.low90, gap.high90)
    )
    text = f"{text} [{low}, {high}]"
    return text if found.row else f"{text}\n90 % [{low90}, {high90}]"


def _verdict(found: Agreement) -> str:
    margin = f"±{100 * found.margin:g}"
    if found.word == REPRODUCED:
        return f"{found.word} within {margin}"
    if found.word == NOT_REPRODUCED:
        return f"{found.word}: beyond {margin}"
    if found.word != OPEN:
        return found.word
    if np.isnan(found.gap.attained):
        return f"{found.word}: no interval"
    # Rounded up: a margin that reads as enough is.
    return f"{found.word}; within ±{math.ceil(10_000 * found.gap.attained) / 100:.2f}"
