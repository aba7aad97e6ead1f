"""What stands where in the summary figure: headings, rows and gaps, cut into pages."""

from __future__ import annotations

import textwrap
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

# Space between two groups of corrections, in rows.
GAP = 0.6
# Rows, headings and gaps together; 9.2 inches.
ROWS_PER_PAGE = 54
LETTERS_PER_LINE = 48
GROUP = ["objective", "method", "sparsity", "recipe"]
"""Columns of a page, all of whose other axes are the same, that make a group of corrections; those
of a group that stands for all rows are empty."""


class Line(NamedTuple):
    """A labelled place in the figure: a line of the forest, or a heading without one."""

    place: float
    label: str
    row: Any | None
    objective: str


class Naming(NamedTuple):
    """Which names are not the same in all rows."""

    corrections: bool
    objectives: bool


def lines(rows: pd.DataFrame) -> list[Line]:
    """Headings and rows from top to bottom, ``place`` in rows from the first one.

    With several corrections, each group of what was corrected has a heading, and each row the
    name of its correction; with one, each row has the name of its group.
    """
    naming, top = _naming(rows), 0.0
    found: list[Line] = []
    for _, group in rows.groupby(GROUP, sort=False):
        own = _group(group, naming)
        found += [line._replace(place=top + line.place) for line in own]
        top += _height(own) + GAP
    return found


def height(rows: pd.DataFrame) -> float:
    """All the lines of a page, in rows."""
    last = lines(rows)[-1]
    return last.place + (1 + _height([last])) / 2


def pages(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows for one figure each: as few pages as there is need of, about equally long.

    The corrections of one group stay together, unless they are too many for a page of their own.
    """
    import pandas as pd

    naming = _naming(rows)
    groups = [group for _, group in rows.groupby(GROUP, sort=False)]
    parts = [part for group in groups for part in _parts(group, naming)]
    heights = [_height(_group(part, naming)) for part in parts]
    count = len(_filled(heights, ROWS_PER_PAGE))
    least = ceil((sum(heights) + GAP * (len(heights) - count)) / count)
    limits = range(min(least, ROWS_PER_PAGE), ROWS_PER_PAGE + 1)
    fills = (_filled(heights, limit) for limit in limits)
    shortest = next(fill for fill in fills if len(fill) == count)
    return [pd.concat([parts[index] for index in page]) for page in shortest]


def _filled(heights: list[float], limit: float) -> list[list[int]]:
    """Which parts are on each page, in their order, if no page of several exceeds the limit."""
    found: list[list[int]] = []
    used = 0.0
    for index, more in enumerate(heights):
        if found and used + GAP + more <= limit:
            found[-1].append(index)
            used += GAP + more
        else:
            found.append([index])
            used = more
    return found


def _naming(rows: pd.DataFrame) -> Naming:
    return Naming(rows["correction"].nunique() > 1, rows["objective"].nunique() > 1)


def _group(group: pd.DataFrame, naming: Naming) -> list[Line]:
    """The lines of one group, ``place`` from its own first row."""
    objective, method, sparsity, recipe = group[GROUP].iloc[0]
    name = f"{method} {100 * sparsity:g} %" if sparsity else method
    name = name or _all_rows(group)
    name = f"{objective}: {name}" if naming.objectives else name
    name = f"{name}, {recipe}" if recipe else name
    texts: list[tuple[str, Any]] = [(name, None)] if naming.corrections else []
    for row in group.itertuples():
        text = row.correction if naming.corrections else name
        lost = row.n < row.seeds and not row.note
        texts.append((f"{text} ({row.n} of {row.seeds} pairs)" if lost else text, row))
    found, top = [], 0.0
    for text, row in texts:
        label = textwrap.fill(text, LETTERS_PER_LINE, break_on_hyphens=False)
        more = label.count("\n")
        found.append(Line(top + more / 2, label, row, objective))
        top += 1 + more
    return found


def _all_rows(group: pd.DataFrame) -> str:
    """Name of the group that stands for all rows, with their number where it is one."""
    numbers = set(group["rows"])
    return f"all {numbers.pop()} rows" if len(numbers) == 1 else "all rows"


def _height(found: list[Line]) -> float:
    return sum(1 + line.label.count("\n") for line in found)


def _parts(group: pd.DataFrame, naming: Naming) -> list[pd.DataFrame]:
    if len(group) == 1 or _height(_group(group, naming)) <= ROWS_PER_PAGE:
        return [group]
    middle = len(group) // 2
    return [*_parts(group.iloc[:middle], naming), *_parts(group.iloc[middle:], naming)]
