"""The figures of a grid: learning curves against epochs and units, and a summary of effects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.reports.compare import PLAIN, compare
from agc.reports.curves import read_curves
from agc.reports.figures.learning_curves import draw_learning_curves, pages
from agc.reports.figures.style import Look, file_stem, looks, save, style
from agc.reports.figures.summary import draw_summary
from agc.reports.figures.summary_layout import pages as summary_pages
from agc.reports.labels import task_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def write_figures(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> list[Path]:
    """Write every figure as PNG and SVG.

    For each data set, architecture, objective and recipe: ``accuracy-by-{epochs,units}-…`` and
    ``loss-by-{epochs,units}-…``. A recipe of plain runs alone has none where another recipe has
    corrections: its runs stand for equal units, in the tables. For each data set and architecture:
    ``summary-…``; just ``summary`` if there is only one of them. What does not fit on a page is
    cut into parts, ``…-1``, ``…-2``.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        out: folder, made if it does not exist.

    Returns:
        The files written.
    """
    styles = looks(list(records["correction"]))
    curves = read_curves(records, epochs)
    paths = []
    with style():
        for key, cells in _corrected_recipes(records).groupby(
            [*task_columns(records.columns), "recipe"]
        ):
            for measure in ("accuracy", "loss"):
                for against in ("epochs", "units"):
                    stem = file_stem(f"{measure}-by-{against}", *key)
                    figures = [
                        draw_learning_curves(cells, curves, measure, against, styles, page)
                        for page in pages(cells)
                    ]
                    paths += _save_parts(figures, out, stem)
        paths += _write_summaries(records, epochs, out, styles)
    return paths


def _corrected_recipes(records: pd.DataFrame) -> pd.DataFrame:
    """Without the recipes that have plain runs only, unless a task has no other."""
    task = task_columns(records.columns)
    corrected = (records["correction"] != PLAIN).rename("corrected")
    here = corrected.groupby([records[key] for key in (*task, "recipe")]).transform("any")
    anywhere = corrected.groupby([records[key] for key in task]).transform("any")
    return records[here | ~anywhere]


def _write_summaries(
    records: pd.DataFrame, epochs: pd.DataFrame, out: Path, styles: dict[str, Look]
) -> list[Path]:
    main = compare(records, epochs).main
    pairs = main[(main["correction"] != "") & (main["plain_seeds"] > 0)]
    task = [name for name in task_columns(main.columns) if name != "objective"]
    groups = list(pairs.groupby(task))
    paths = []
    for key, rows in groups:
        stem = file_stem("summary", *(key if len(groups) > 1 else ()))
        figures = []
        for page in summary_pages(rows):
            objectives = page["objective"].unique()
            title = ", ".join([*key, *objectives] if len(objectives) == 1 else key)
            figures.append(draw_summary(page, title, styles))
        paths += _save_parts(figures, out, stem)
    return paths


def _save_parts(figures: list[Figure], out: Path, stem: str) -> list[Path]:
    paths = []
    for part, figure in enumerate(figures, start=1):
        paths += save(figure, out, f"{stem}-{part}" if len(figures) > 1 else stem)
    return paths
