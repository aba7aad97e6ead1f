"""A table of text as HTML: with its caption, headings that a reader can follow, and its kind."""

from __future__ import annotations

import html
import math
import re

from agc.reports.tables.markup import TextTable

_JOINED = re.compile(r"\[[^\]<]*\]|\d %|\d ± \d")


def html_table(table: TextTable, kind: str = "sortable", raw: tuple[int, ...] = ()) -> str:
    """A table in a region that scrolls by itself where the window is too narrow.

    Args:
        table: what to show; its title names the region.
        kind: ``sortable`` or another class of the page's style.
        raw: columns whose cells are HTML already.
    """
    heads = "".join(
        f'<th scope="col"{_side(table, index)}>{html.escape(name)}</th>'
        for index, name in enumerate(table.header)
    )
    rows = "\n".join(f"<tr>{_row(table, row, raw)}</tr>" for row in table.rows)
    name = html.escape(table.title or "Table", quote=True)
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    label = "" if caption else f' aria-label="{name}"'
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{name}">'
        f'<table class="{kind}"{label}>{caption}<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(table: TextTable, row: list[str], raw: tuple[int, ...]) -> str:
    cells = []
    for index, text in enumerate(row):
        inner = text if index in raw else whole(html.escape(text))
        tag = 'th scope="row"' if index == 0 else "td"
        cells.append(f"<{tag}{_side(table, index)}>{inner}</{tag.split()[0]}>")
    return "".join(cells)


def _side(table: TextTable, index: int) -> str:
    return ' class="number"' if index >= table.labels else ""


def whole(text: str) -> str:
    """No line is broken within an interval or a mean with its spread, nor before a percent sign."""
    return _JOINED.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def nice_step(least: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten, for the numbers of an axis."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * size for size in (1, 2, 2.5, 5, 10) if power * size >= least * (1 - 1e-9))
