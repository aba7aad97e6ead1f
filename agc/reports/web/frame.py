"""The frame of a page: one HTML file with its style, its script and a list of contents."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from importlib.resources import files


def assemble(name: str, description: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """A whole page, which leads with its first section.

    Args:
        name: its title.
        description: a paragraph below that; empty: none.
        sections: anchor, heading and HTML of each; those without any HTML are left out.
    """
    shown = [section for section in sections if section[2]]
    contents = "".join(
        f'<li><a href="#{anchor}">{html.escape(title)}</a></li>' for anchor, title, _ in shown
    )
    bodies = "\n".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h2 id="{anchor}-title">{html.escape(title)}</h2>\n{body}</section>'
        for anchor, title, body in shown
    )
    said = f"<p>{html.escape(description)}</p>\n" if description else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{html.escape(name)}: agc</title>'
        f"<style>{asset('page.css')}</style></head>\n<body>"
        f'<a class="skip" href="#{shown[0][0]}">To the answer</a>'
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n<main>'
        f"<h1>{html.escape(name)}</h1>\n{said}{bodies}\n</main>"
        f"<script>{asset('page.js')}</script></body></html>\n"
    )


@cache
def asset(name: str) -> str:
    """A file of this folder: the page's script or its style."""
    return files("agc.reports.web").joinpath(name).read_text(encoding="utf-8")
