"""The forest plot as a table: a line for each row, with its interval drawn in a cell."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from agc.reports.arms import is_placebo
from agc.reports.figures.summary import reach
from agc.reports.labels import task_columns
from agc.reports.tables.formatting import MISSING, number, points, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.web.tables import html_table, nice_step

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Final test accuracy, correction − none, in percentage points, paired by seed: mean and 95 %"
    " interval. A diamond is the mean of all rows below it; the grey band is what does not matter"
    " (the margin). Intervals of rows have the spread that all rows of a sparsity share; an arrow"
    " is an end beyond the axis."
)
TICKS = 5


def forest(lines: pd.DataFrame, colours: dict[str, str]) -> str:
    """The forest of a grid; empty where there is no line.

    Args:
        lines: as of :func:`agc.reports.figures.forest_rows.forest_rows`.
        colours: of each correction.
    """
    if not len(lines):
        return ""
    wide = reach(lines)
    single = lines[~lines["pooled"]]
    keys = [key for key in task_columns(lines.columns) if lines[key].nunique() > 1]
    recipes = single["recipe"].nunique() > 1
    rows = [
        [
            _label(row, keys, recipes),
            row.correction,
            _picture(row, wide, colours),
            _number(row),
            _said(row),
        ]
        for row in lines.itertuples()
    ]
    header = ["row", "correction", _AXIS, "difference", "verdict or cost"]
    table = TextTable("Forest plot", CAPTION, header, rows, labels=5)
    return html_table(table, "forest", raw=(2,)).replace(_AXIS, _axis(wide))


_AXIS = "axis of the forest"


def _label(row: Any, keys: list[str], recipes: bool) -> str:
    task = [getattr(row, key) for key in keys]
    if row.pooled:
        return " ".join(["all rows", *task])
    parts = [*task, row.method, *([sparsity(row.sparsity)] if row.sparsity else [])]
    return " ".join(parts) + (f", {row.recipe}" if recipes and row.recipe else "")


def _number(row: Any) -> str:
    if row.note:
        return row.note
    ends = f" [{points(row.low)}, {points(row.high)}]" if row.low == row.low else ""
    return points(row.mean) + ends


def _said(row: Any) -> str:
    if row.pooled:
        return row.verdict
    units = f"{number(row.units)} units an epoch (none {number(row.plain_units)})"
    return units if row.units == row.units else MISSING


def _picture(row: Any, wide: float, colours: dict[str, str]) -> str:
    """The interval in its cell; what it shows stands beside it in words, so it is hidden there."""
    colour = colours.get(row.correction, "#555555")
    shapes = [_margin(row.margin, wide), '<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>']
    if not row.note:
        if row.low == row.low:
            low, high = (_place(np.clip(end, -wide, wide), wide) for end in (row.low, row.high))
            shapes.append(
                f'<line x1="{low}" x2="{high}" y1="50%" y2="50%" stroke="{colour}"'
                ' stroke-width="2"/>'
            )
            shapes += [_arrow(end, colour) for end in _beyond(row, wide)]
        shapes.append(_mark(row, wide, colour))
    tip = html.escape(f"{row.correction}: {_number(row)}")
    return (
        f'<svg aria-hidden="true" width="100%" height="22"><title>{tip}</title>'
        f"{''.join(shapes)}</svg>"
    )


def _margin(margin: float, wide: float) -> str:
    if not margin > 0:
        return ""
    share = min(margin / wide, 1)
    return (
        f'<rect class="margin" x="{50 - 50 * share:.2f}%" y="0" width="{100 * share:.2f}%"'
        ' height="100%"/>'
    )


def _mark(row: Any, wide: float, colour: str) -> str:
    place = _place(row.mean, wide)
    if row.pooled:
        hollow = is_placebo(row.correction)
        style = f'fill="{"none" if hollow else colour}" stroke="{colour}" stroke-width="1.5"'
        shape = f'<path d="M-7 0 0-7 7 0 0 7Z" {style}/>'
    elif is_placebo(row.correction):
        shape = f'<rect x="-4" y="-4" width="8" height="8" fill="{colour}"/>'
    else:
        shape = f'<circle r="4.5" fill="{colour}"/>'
    return f'<svg x="{place}" y="50%" overflow="visible">{shape}</svg>'


def _beyond(row: Any, wide: float) -> list[str]:
    return ["left"] * (row.low < -wide) + ["right"] * (row.high > wide)


def _arrow(side: str, colour: str) -> str:
    place, path = ("0%", "M1 0 8-5 8 5Z") if side == "left" else ("100%", "M-1 0-8-5-8 5Z")
    return f'<svg x="{place}" y="50%" overflow="visible"><path d="{path}" fill="{colour}"/></svg>'


def _axis(wide: float) -> str:
    """Heading of the column of pictures: the numbers of its axis."""
    step = nice_step(2 * wide / TICKS)
    values = np.arange(-np.floor(wide / step), np.floor(wide / step) + 1) * step
    ticks = "".join(
        f'<text x="{_place(value, wide)}" y="14" text-anchor="middle">{_tick(value)}</text>'
        for value in values
        # Whole numbers at the ends would stick out.
        if abs(value) < 0.93 * wide
    )
    return f'points<svg aria-hidden="true" width="100%" height="18">{ticks}</svg>'


def _tick(value: float) -> str:
    return f"{value:+g}" if value else "0"


def _place(value: float, wide: float) -> str:
    return f"{50 + 50 * value / wide:.2f}%"
