"""One committed report as text is made of it, and the form of that text."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agc.errors import UserError, unknown
from agc.reports.sources import summarize_provenance
from agc.reports.study import RECORDS, read_study
from agc.reports.tables.markup import TextTable, markdown_rows
from agc.reports.tables.write import load_comparison

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 110
_KEPT = "\N{WORD JOINER}"


class Study(NamedTuple):
    """A report: a row for each cell, its estimates, and what the numbers come from."""

    name: str
    records: pd.DataFrame
    pooled: pd.DataFrame
    ladder: pd.DataFrame
    provenance: dict[str, Any]

    def margin(self, measure: str) -> float:
        """The largest difference of ``accuracy`` or ``robust`` that does not matter, as a fraction.

        Raises:
            UserError: the study pools no difference of this measure.
        """
        margins = self.pooled.loc[self.pooled["measure"] == measure, "margin"]
        if margins.empty:
            raise UserError(f"the study {self.name!r} has no pooled difference of {measure!r}")
        return float(margins.iloc[0]) / 100


def study_names(reports: Path) -> list[str]:
    """The studies of a folder, those that have a table of their cells."""
    return sorted(path.parent.name for path in reports.glob(f"*/{RECORDS}"))


def load_study(reports: Path, name: str) -> Study:
    """Read a study of the folder ``reports``.

    Raises:
        UserError: there is none of this name, or a file of it is missing or broken.
    """
    folder = reports / name
    if not folder.is_dir():
        raise unknown("study", name, study_names(reports))
    records, _ = read_study(folder, f"agc compare {name}")
    comparison = load_comparison(folder)
    return Study(
        name=name,
        records=records,
        pooled=comparison.pooled,
        ladder=comparison.ladder,
        provenance=summarize_provenance(records),
    )


def paragraph(text: str, width: int = WIDTH) -> str:
    """Running text in lines of at most ``width`` letters; no interval is divided."""
    return _fill(text, width)


def items(texts: list[str]) -> str:
    """A list with a dash before each text, in the same lines."""
    indents = {"initial_indent": "- ", "subsequent_indent": "  "}
    return "\n".join(_fill(text, WIDTH, **indents) for text in texts)


def table(header: list[str], rows: list[list[str]], labels: int = 1) -> str:
    """A Markdown table whose first ``labels`` columns are names."""
    return markdown_rows(TextTable("", "", header, rows, labels)).rstrip("\n")


def unescaped_links(text: str) -> str:
    """The table with its links as links: their brackets were taken for text."""
    return text.replace(r"| \[", "| [").replace(r"\](", "](")


def span(values: list[float], digits: int = 1) -> str:
    """``1.4 to 5.5``, or one number where all are the same."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _fill(text: str, width: int, **indents: str) -> str:
    # What wraps at spaces does not see one that is no white space.
    whole = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", _KEPT), text)
    wrapped = textwrap.fill(whole, width, break_long_words=False, break_on_hyphens=False, **indents)
    return wrapped.replace(_KEPT, " ")
