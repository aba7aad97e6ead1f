"""What a section is made of: paragraphs, lists, tables, code, pictures and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agc.reports.tables.markup import TextTable


@dataclass(frozen=True)
class Text:
    """A paragraph, in Markdown; what comes from data is escaped by whoever writes it."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of paragraphs."""

    texts: list[str]


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    A ``long`` one stands in the HTML page alone, where a ``folded`` one is shown at a click.
    """

    table: TextTable
    long: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Code:
    """Lines that a reader may copy into a shell."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A figure, a PNG in the folder of the report; inlined into the HTML page."""

    path: Path
    alt: str


@dataclass(frozen=True)
class Curves:
    """Learning curves under their headings, each a figure of HTML; in the HTML page alone."""

    figures: Mapping[str, list[str]]


Block = Text | Heading | Items | Table | Code | Picture | Curves
