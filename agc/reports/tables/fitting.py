"""Columns of a table in a terminal: which fit, how wide they are, and where words break."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence

_KEPT = "\N{WORD JOINER}"
_HERE = "\N{ZERO WIDTH SPACE}"
# Space that is none, and none that is: what wraps at spaces alone is told where to.
SHORTEST = 10
"""Letters that a column of words keeps, whatever its words."""


def fit(
    table: Sequence[Sequence[str]],
    room: int,
    words: Collection[int],
    dispensable: Sequence[int],
) -> dict[int, int]:
    """The columns that fit side by side, a space between two, with their widths.

    A number is never broken; words are, between two of them, and within one only where all columns
    that are not dispensable have no room otherwise.

    Args:
        table: rows of cells, headings included; a heading may have several lines.
        room: letters in a line.
        words: columns of words.
        dispensable: columns that are left out where there is no room, the most wanted first.

    Returns:
        Width of each column that is shown, by its index, in the order of the columns.
    """
    columns = range(len(table[0]))
    whole = {i: max(_longest(row[i].splitlines()) for row in table) for i in columns}
    least = {
        i: max(_longest(_words(row[i])) for row in table) if i in words else whole[i]
        for i in columns
    }
    shown = {i for i in columns if i not in dispensable}
    for index in dispensable:
        if _together([*(least[i] for i in shown), least[index]]) <= room:
            shown.add(index)
    widths = {i: least[i] for i in sorted(shown)}
    breakable = [i for i in widths if i in words]
    while breakable and _together(widths.values()) > room:
        widest = max(breakable, key=lambda i: widths[i])
        if widths[widest] <= SHORTEST:
            break
        widths[widest] -= 1
    for index in breakable:
        left = room - _together(widths.values())
        widths[index] = max(widths[index], min(whole[index], widths[index] + left))
    return widths


def broken(text: str, width: int) -> str:
    """A text of words in lines of at most ``width`` letters."""
    if len(text) <= width:
        return text
    lines = textwrap.fill(_parted(text), width, break_on_hyphens=False)
    return re.sub(f"{_HERE} ?", "", lines).replace(_KEPT, " ")


def _words(text: str) -> list[str]:
    return _parted(text).replace(_HERE, "").split()


def _parted(text: str) -> str:
    """With places to break where options begin and before their values, and none before a percent
    sign.
    """
    parted = re.sub(r"(?<=\S)\(|(?<==)", lambda found: f"{_HERE} {found[0]}", text)
    return parted.replace(" %", f"{_KEPT}%")


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def _together(widths: Collection[int]) -> int:
    return sum(widths) + max(0, len(widths) - 1)
