"""A page as Markdown for GitHub, and as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from agc.reports.pages.base import Section
from agc.reports.pages.shared.blocks import (
    Block,
    Code,
    Curves,
    Heading,
    Items,
    Picture,
    Table,
    Text,
)
from agc.reports.tables.html import rendered
from agc.reports.tables.markup import escape_markdown, markdown_rows
from agc.reports.text.study import paragraph
from agc.reports.web.curves import WORDS
from agc.reports.web.frame import assemble
from agc.reports.web.tables import html_table, whole


def to_markdown(title: str, found: Sequence[Section]) -> str:
    """The page for GitHub: without long tables and curves, which the HTML page has."""
    parts = [f"# {escape_markdown(title)}"]
    for section in found:
        if texts := [text for block in section.blocks if (text := _markdown(block))]:
            parts += [f"## {section.title}", *texts]
    return "\n\n".join(parts) + "\n"


def to_html(title: str, found: Sequence[Section]) -> str:
    """The same with every table and every curve, its figures inlined, and a list of contents."""
    bodies = [(s.anchor, s.title, "\n".join(map(_html, s.blocks))) for s in found]
    return assemble(title, "", bodies)


def _markdown(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Heading):
        return f"### {block.text}"
    if isinstance(block, Items):
        return "\n".join(f"- {text}" for text in block.texts)
    if isinstance(block, Code):
        return f"```sh\n{block.text}\n```"
    if isinstance(block, Picture):
        return f"![{escape_markdown(block.alt)}]({block.path.name})"
    if isinstance(block, Curves) or block.long:
        return ""
    caption = paragraph(escape_markdown(block.table.caption))
    return "\n\n".join(part for part in (caption, markdown_rows(block.table).rstrip("\n")) if part)


def _html(block: Block) -> str:
    if isinstance(block, Picture):
        data = base64.b64encode(block.path.read_bytes()).decode("ascii")
        alt = html.escape(block.alt, quote=True)
        return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"></figure>'
    if isinstance(block, Table):
        body = html_table(block.table)
        title = html.escape(block.table.title)
        return f"<details><summary>{title}</summary>{body}</details>" if block.folded else body
    if isinstance(block, Curves):
        return f"<p>{WORDS}</p>" + "".join(
            f'<h3>{html.escape(title)}</h3><div class="curves">{"".join(figures)}</div>'
            for title, figures in block.figures.items()
        )
    return whole(rendered(_markdown(block)))


def wrapped(text: str) -> Text:
    """A paragraph whose lines are short enough to be read in a diff."""
    return Text(paragraph(text))
