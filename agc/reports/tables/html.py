"""The tables of a grid as one HTML page that needs no other file."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt

from agc.files import atomic_write_text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ccc; padding: 0.25rem 0.6rem; text-align: left; }
th { border-bottom: 2px solid #666; }
tbody tr:hover { background: #f4f4f4; }
"""


def rendered(text: str) -> str:
    """Markdown with tables as HTML."""
    return MarkdownIt("commonmark").enable("table").render(text)


def write_page(out: Path) -> Path:
    """Turn ``tables/comparison.md`` of a report folder into HTML beside it; returns its path."""
    text = (out / "tables" / "comparison.md").read_text(encoding="utf-8")
    body = rendered(text)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>agc: {out.name}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}</body></html>\n"
    )
    path = out / "tables" / "comparison.html"
    atomic_write_text(path, page)
    return path
