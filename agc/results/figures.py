"""The figures of a grid: learning curves against epochs and units, and a summary of effects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.results.compare import compare
from agc.results.curves import read_curves
from agc.results.learning_curves import draw_learning_curves
from agc.results.plotting import file_stem, looks, save, style
from agc.results.summary_figure import GROUP, draw_summary

if TYPE_CHECKING:
    import pandas as pd

# More rows than this do not fit on a page.
ROWS_PER_FIGURE = 40


def write_figures(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> list[Path]:
    """Write every figure as PNG and SVG.

    For each data set, architecture, objective and recipe: ``accuracy-by-{epochs,units}-…`` and
    ``loss-by-{epochs,units}-…``. For each data set and architecture: ``summary-…``, in several
    parts if it has too many rows for a page; just ``summary`` if there is only one of them.

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
        for key, cells in records.groupby(["dataset", "architecture", "objective", "recipe"]):
            for measure in ("accuracy", "loss"):
                for against in ("epochs", "units"):
                    figure = draw_learning_curves(cells, curves, measure, against, styles)
                    paths += save(figure, out, file_stem(f"{measure}-by-{against}", *key))
        paths += _write_summaries(records, epochs, out, styles)
    return paths


def _write_summaries(
    records: pd.DataFrame, epochs: pd.DataFrame, out: Path, styles: dict[str, dict[str, str]]
) -> list[Path]:
    main = compare(records, epochs).main
    pairs = main[(main["correction"] != "") & (main["plain_seeds"] > 0)]
    groups = list(pairs.groupby(["dataset", "architecture"]))
    paths = []
    for key, rows in groups:
        names = key if len(groups) > 1 else ()
        pages = _pages(rows)
        for part, page in enumerate(pages, start=1):
            objectives = page["objective"].unique()
            title = ", ".join([*key, *objectives] if len(objectives) == 1 else key)
            figure = draw_summary(page, title, styles)
            number = str(part) if len(pages) > 1 else ""
            paths += save(figure, out, file_stem("summary", *names, number))
    return paths


def _pages(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows for one figure each; the corrections of one method and sparsity stay together."""
    import pandas as pd

    pages: list[list[pd.DataFrame]] = [[]]
    for _, group in rows.groupby(GROUP, sort=False):
        if sum(map(len, pages[-1])) + len(group) > ROWS_PER_FIGURE and pages[-1]:
            pages.append([])
        pages[-1].append(group)
    return [pd.concat(page) for page in pages]
