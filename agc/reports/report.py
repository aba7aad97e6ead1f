"""The report of a study: everything that is drawn from its two tables, in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agc.files import atomic_write_text
from agc.reports.compare import Comparison, compare
from agc.reports.costs import compare_costs
from agc.reports.figures.write import Tell, write_figures
from agc.reports.gradients import FILE as GRADIENTS
from agc.reports.gradients import read_gradients
from agc.reports.hypotheses.base import StudyData
from agc.reports.page import DEVIATIONS, PREREGISTRATION, write_study_page
from agc.reports.pooled import MARGIN
from agc.reports.predictions import FILE as PREDICTIONS
from agc.reports.predictions import write_steps
from agc.reports.sources import summarize_provenance
from agc.reports.tables.entries import entry_tables
from agc.reports.tables.html import write_page
from agc.reports.tables.hypotheses import FILE as HYPOTHESES
from agc.reports.tables.printed import printed_tables
from agc.reports.tables.readme import write_readme
from agc.reports.tables.solvers import solver_tables
from agc.reports.tables.stages import stage_tables
from agc.reports.tables.write import write_tables
from agc.reports.tuning import FILE, read_tuning

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

PUBLISHED = (
    "README.md",
    "records.parquet",
    "epochs.parquet",
    "comparison.csv",
    "pooled.csv",
    "claims.csv",
    "provenance.json",
)
"""What is kept of a report under version control, beside its summary; the rest is drawn anew."""
WHERE_DUE = ("calibration.csv", "ladder.csv", "entries.csv", "solvers.csv", PREDICTIONS)
"""The same, of grids that have it."""
TUNING = FILE
"""Kept, too, where the grid's learning rates were chosen for each arm."""

TOLD = (PREREGISTRATION, DEVIATIONS, TUNING, GRADIENTS)
"""What a study in stages is told: texts by hand, choices and measurements of other commands."""
OF_STAGES = (HYPOTHESES, *TOLD)
"""What is kept of a study in stages beside that."""


def write_report(
    records: pd.DataFrame,
    epochs: pd.DataFrame,
    out: Path,
    name: str,
    description: str = "",
    margin: Margin = MARGIN,
    learning_rates: Path | None = None,
    stages: Mapping[str, frozenset[str]] | None = None,
    beside: Path | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Write tables, figures and page of a study.

    In ``out`` itself: ``README.md``, ``comparison.csv``, ``pooled.csv``, ``claims.csv``,
    ``provenance.json``, what is in ``WHERE_DUE``, and the summary as PNG, which are
    worth publishing. Of a study in stages also ``hypotheses.csv`` and its forest as PNG, and the
    page is one of hypotheses, as ``report.html`` too. In ``out/tables`` and ``out/figures``: what
    anybody can draw again from the study's own two tables.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        out: folder, made if it does not exist.
        name: the grid's.
        description: the grid's, in one line.
        margin: the grid's largest differences that do not matter.
        learning_rates: the table by which each arm has its learning rate, if it has; a copy of it
            is written into ``out``.
        stages: slugs of the cells of each stage, by the name of its grid, of a joint grid whose
            hypotheses are judged (:mod:`agc.reports.findings`).
        beside: folder that has what such a study is told and does not draw (``TOLD``), which is
            copied into ``out``; ``out`` itself if left out.
        tell: called with the steps done, those to do, and what is being done.
    """
    tell = tell or (lambda done, total, text: None)
    tell(0, 0, "the comparison")
    comparison, provenance = compare(records, epochs, margin), summarize_provenance(records)
    write_tables(comparison, out, provenance)
    write_page(out)
    figures = write_figures(records, epochs, out, comparison.pooled, tell)
    pictures = sorted(
        (path for path in figures if path.parent == out),
        key=lambda path: ("summary" not in path.stem, path.name),
    )
    tuning = None
    if learning_rates is not None:
        tuning = read_tuning(learning_rates)
        atomic_write_text(out / TUNING, learning_rates.read_text(encoding="utf-8"))
    if stages is None:
        entries = (
            [] if comparison.entries is None else entry_tables(comparison.entries, records, margin)
        )
        entries = printed_tables(records) + stage_tables(records, epochs) + entries
        if comparison.solvers is not None:
            entries += solver_tables(records, comparison.solvers)
        costs = compare_costs(records, epochs)
        steps = write_steps(records, epochs, out)
        named = (name, description, pictures, tuning, entries, costs, steps)
        write_readme(comparison, out, provenance, *named)
    else:
        _copy_told(beside or out, out)
        tuning = read_tuning(out / TUNING) if (out / TUNING).is_file() else None
        study = StudyData(records, epochs, stages, read_gradients(out))
        named = (name, description, margin, _without_summaries(pictures, out), tuning)
        write_study_page(study, comparison, out, provenance, *named)
    return comparison


def _copy_told(source: Path, out: Path) -> None:
    if source.resolve() != out.resolve():
        for name in TOLD:
            if (source / name).is_file():
                atomic_write_text(out / name, (source / name).read_text(encoding="utf-8"))


def _without_summaries(pictures: list[Path], out: Path) -> list[Path]:
    """The pictures of a page of hypotheses, whose forest stands for the summaries: those go where
    the other figures are.
    """
    for path in pictures:
        if path.stem.startswith("summary"):
            path.replace(out / "figures" / path.name)
    return [path for path in pictures if not path.stem.startswith("summary")]
