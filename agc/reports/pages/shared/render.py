"""A page as Markdown for GitHub, and as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

from agc.reports.pages.base import Section
from agc.reports.pages.shared.blocks import Block, Code, Heading, Items, Picture, Table, Text
from agc.reports.pages.shared.style import STYLE
from agc.reports.tables.html import rendered
from agc.reports.tables.markup import escape_markdown, markdown_rows
from agc.reports.text.study import paragraph

_JOINED = re.compile(r"\[[^\]<]*\]|\d %")


def to_markdown(title: str, found: Sequence[Section]) -> str:
    """The page for GitHub: the first section before all others, long tables left to the HTML."""
    parts = [f"# {escape_markdown(title)}"]
    for section in found:
        parts.append(f"## {section.title}")
        parts += [text for block in section.blocks if (text := _markdown(block))]
    return "\n\n".join(parts) + "\n"


def to_html(title: str, found: Sequence[Section]) -> str:
    """The same with every table, its figures inlined, and a table of contents."""
    contents = "".join(
        f'<li><a href="#{section.anchor}">{html.escape(section.title)}</a></li>'
        for section in found
    )
    bodies = [
        f'<section id="{section.anchor}"><h2>{html.escape(section.title)}</h2>\n'
        + "\n".join(map(_html, section.blocks))
        + "</section>"
        for section in found
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n'
        f"<main><h1>{html.escape(title)}</h1>\n" + "\n".join(bodies) + "\n</main>"
        "</body></html>\n"
    )


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
    if block.long:
        return ""
    caption = paragraph(escape_markdown(block.table.caption))
    return "\n\n".join(part for part in (caption, markdown_rows(block.table).rstrip("\n")) if part)


def _html(block: Block) -> str:
    if isinstance(block, Picture):
        data = base64.b64encode(block.path.read_bytes()).decode("ascii")
        alt = html.escape(block.alt, quote=True)
        return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"></figure>'
    if isinstance(block, Table):
        body = _whole(rendered(markdown_rows(block.table)))
        title = html.escape(block.table.title)
        caption = f"<p>{html.escape(block.table.caption)}</p>" if block.table.caption else ""
        body = f'{caption}<div class="wide">{body}</div>'
        return f"<details><summary>{title}</summary>{body}</details>" if block.folded else body
    return _whole(rendered(_markdown(block)))


def _whole(text: str) -> str:
    """No line is broken within an interval, nor before a percent sign."""
    return _JOINED.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def wrapped(text: str) -> Text:
    """A paragraph whose lines are short enough to be read in a diff."""
    return Text(paragraph(text))
