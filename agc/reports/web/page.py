"""The page of a grid: its answer first, then what it rests on, in one file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.files import atomic_write_text
from agc.reports.compare import Comparison
from agc.reports.curves import read_curves
from agc.reports.figures.forest_rows import forest_rows
from agc.reports.figures.style import looks
from agc.reports.figures.write import corrected_recipes
from agc.reports.tables.entries import entry_lines
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.markup import TextTable
from agc.reports.tables.overview import COLUMNS, describe, name_row, overview_cells
from agc.reports.tables.pooled import pooled_lines
from agc.reports.tables.readme import shared_columns, source
from agc.reports.tables.write import HEADINGS, views
from agc.reports.web.cells import Links, cell_table
from agc.reports.web.curves import WORDS, learning_curves
from agc.reports.web.forest import forest
from agc.reports.web.frame import assemble
from agc.reports.web.tables import html_table, whole

if TYPE_CHECKING:
    import pandas as pd

HTML = "report.html"
NOTHING = "No correction stands beside none in these cells: there is no verdict."


@dataclass(frozen=True)
class Beside:
    """What lies beside a page.

    Attributes:
        links: ways to each cell's folder and run.
        run_page: the command that shows the runs; empty where there are none.
        appendix: file with Snakemake's report, beside the page; empty where there is none.
    """

    links: Links = field(default_factory=dict)
    run_page: str = ""
    appendix: str = ""


def write_grid_page(
    records: pd.DataFrame,
    epochs: pd.DataFrame,
    comparison: Comparison,
    out: Path,
    provenance: Mapping[str, Any],
    name: str,
    description: str = "",
    beside: Beside | None = None,
) -> Path:
    """Write ``report.html`` of a report folder; returns its path.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        comparison: what the grid measured.
        out: the folder.
        provenance: as of ``summarize_provenance``.
        name: the grid's.
        description: the grid's, in one line.
        beside: what the page leads to.
    """
    beside = beside or Beside()
    styles = looks(list(records["correction"]))
    colours = {correction: look["color"] for correction, look in styles.items()}
    lines = forest_rows(records, comparison.pooled)
    curves = read_curves(records, epochs)
    panels = learning_curves(corrected_recipes(records), curves, styles)
    sections = [
        ("answer", "Answer", _answer(comparison)),
        ("forest", "Every row", forest(lines, colours)),
        ("rows", "All rows in numbers", html_table(_overview(comparison.main))),
        ("curves", "Learning curves", _curves(panels)),
        ("tables", "More tables", _more(comparison, provenance)),
        ("cells", "Cells", _cells(records, beside)),
        (
            "source",
            "Where the numbers come from",
            _source(comparison.main, provenance, name, beside),
        ),
    ]
    text = description.strip().rstrip(".")
    page = assemble(name, f"{text[:1].upper()}{text[1:]}." if text else "", sections)
    atomic_write_text(out / HTML, page)
    return out / HTML


def _answer(comparison: Comparison) -> str:
    lines = pooled_lines(comparison.pooled)
    lines += [] if comparison.entries is None else entry_lines(comparison.entries)
    if not lines:
        return f"<p>{NOTHING}</p>"
    said = []
    for line in lines:
        what, _, rest = line.partition(": ")
        verdict, _, numbers = rest.partition(": ")
        said.append(
            f"<div><dt>{html.escape(what)}</dt><dd><strong>{html.escape(verdict)}</strong> "
            f"{whole(html.escape(numbers))}</dd></div>"
        )
    return f'<dl class="verdicts">{"".join(said)}</dl>'


def _overview(main: pd.DataFrame) -> TextTable:
    keys = [key for key in shared_columns(main) if main[key].nunique() > 1]
    header = ["method", "correction", *keys, *(name for name, _ in COLUMNS)]
    rows = []
    for row in main.itertuples():
        method, correction = name_row(row)
        task = [getattr(row, key) for key in keys]
        rows.append([method, correction, *task, *overview_cells(row)])
    # What no row has, such as robust accuracy after plain training, has no column.
    shown = [i for i in range(len(header)) if any(row[i] != MISSING for row in rows)]
    return TextTable(
        "All rows",
        describe(main),
        [header[i] for i in shown],
        [[row[i] for i in shown] for row in rows],
        labels=sum(i < len(keys) + 2 for i in shown),
    )


def _curves(panels: list[str]) -> str:
    return f'<p>{WORDS}</p><div class="curves">{"".join(panels)}</div>' if panels else ""


def _more(comparison: Comparison, provenance: Mapping[str, Any]) -> str:
    parts = []
    for name, tables in views(comparison, provenance).items():
        inner = "".join(f"<h3>{html.escape(t.title)}</h3>{html_table(t)}" for t in tables)
        if inner:
            parts.append(f"<details><summary>{HEADINGS[name]}</summary>{inner}</details>")
    return "".join(parts)


def _cells(records: pd.DataFrame, beside: Beside) -> str:
    said = "Folders and logs are where the cells were trained. "
    said = said * any("folder" in ways for ways in beside.links.values())
    if beside.run_page:
        said += f"Runs are shown while <code>{html.escape(beside.run_page)}</code> runs."
    return f"<p>{said}</p>{cell_table(records, beside.links)}" if said else cell_table(records, {})


def _source(main: pd.DataFrame, provenance: Mapping[str, Any], name: str, beside: Beside) -> str:
    parts = [f"<p>{html.escape(source(main, provenance))}</p>"]
    if beside.appendix:
        way = html.escape(beside.appendix, quote=True)
        parts.append(
            f'<p><a href="{way}">Appendix: the workflow</a>, as Snakemake reports it: its rules,'
            " its jobs with their times, and the logs of all cells.</p>"
        )
    again = html.escape(f"agc compare {name} --from reports/{name}")
    parts.append(
        "<p>Beside this page: <code>comparison.csv</code>, <code>pooled.csv</code> and"
        " <code>claims.csv</code> with every digit, <code>records.parquet</code> and"
        " <code>epochs.parquet</code> with a row for each cell and each epoch. Drawn anew from"
        f" these, without training:</p><pre><code>{again}</code>"
        "</pre>"
    )
    return "".join(parts)
