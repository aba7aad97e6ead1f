"""A table of text as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are ready to print.

    The first ``labels`` columns name the row; ``wrapped`` ones may break their lines in print.
    """

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    labels: int = 1
    wrapped: tuple[int, ...] = ()


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    # After a line's end, a bracket would be read as its optional argument.
    "[": r"{[}",
    "]": r"{]}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "→": r"$\rightarrow$",
    "–": "--",
}
_SPECIAL = re.compile("|".join(map(re.escape, _LATEX)))
_NEGATIVE = re.compile(r"(?<![\w.-])-(?=\d)")


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands; the hyphen of a negative number becomes a minus."""
    return _SPECIAL.sub(lambda match: _LATEX[match.group()], _NEGATIVE.sub("−", text))


def escape_markdown(text: str) -> str:
    """Text that cannot end a cell, start a tag or set emphasis."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text)


def markdown(table: TextTable) -> str:
    """The table as GitHub Markdown, under a heading, without its caption."""
    return f"### {escape_markdown(table.title)}\n\n{markdown_rows(table)}"


def markdown_rows(table: TextTable) -> str:
    """Header and rows alone as GitHub Markdown."""
    align = [":---"] * table.labels + ["---:"] * (len(table.header) - table.labels)
    lines = [_markdown_row(table.header), "| " + " | ".join(align) + " |"]
    lines += [_markdown_row(row) for row in table.rows]
    return "\n".join([*lines, ""])


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"


def latex(table: TextTable) -> str:
    """The table as a float that needs no package but booktabs."""
    kinds = ["l"] * table.labels + ["r"] * (len(table.header) - table.labels)
    for index in table.wrapped:
        kinds[index] = "p{2.2cm}"
    columns = "".join(kinds)
    lines = [
        r"\begin{table}[tbp]",
        r"\centering",
        r"\scriptsize",
        r"\setlength{\tabcolsep}{2pt}",
        rf"\caption{{\textbf{{{escape_latex(table.title)}.}} {escape_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _latex_row(table.header),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _latex_row(cells: list[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + r" \\"
