"""The figures of a grid: learning curves against epochs and units, and a summary of effects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agc.reports.arms import PLAIN
from agc.reports.compare import main_table
from agc.reports.curves import read_curves
from agc.reports.figures.learning_curves import draw_learning_curves, pages
from agc.reports.figures.style import Look, file_stem, looks, save, style
from agc.reports.figures.summary import draw_summary
from agc.reports.figures.summary_layout import pages as summary_pages
from agc.reports.figures.where_due import write_where_due
from agc.reports.labels import task_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_SHOWN = 2
"""Pages of summaries that a report shows on its first page."""
LONGEST_STEM = 40
"""Letters of a file's name."""


def write_figures(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> list[Path]:
    """Write every figure of a report as PNG and SVG into ``out/figures``.

    For each data set, architecture, objective and recipe: ``accuracy-by-{epochs,units}`` and
    ``loss-by-{epochs,units}``, followed by what tells it from the others. A recipe of plain runs
    alone has none where another recipe has corrections: its runs stand for equal units, in the
    tables. For each data set and architecture: ``summary``, of which the first two pages are in
    ``out`` itself as PNG. What only some grids have is :mod:`agc.reports.figures.where_due`'s.
    What does not fit on a page is cut into parts, ``…-1``, ``…-2``.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        out: folder of the report, made if it does not exist.

    Returns:
        The files written.
    """
    styles = looks(list(records["correction"]))
    curves = read_curves(records, epochs)
    paths = []
    with style():
        tasks = [*task_columns(records.columns), "recipe"]
        groups = list(_corrected_recipes(records).groupby(tasks))
        for suffix, (_, cells) in zip(stems([key for key, _ in groups]), groups, strict=True):
            for measure in ("accuracy", "loss"):
                for against in ("epochs", "units"):
                    stem = file_stem(f"{measure}-by-{against}", suffix)
                    figures = [
                        draw_learning_curves(cells, curves, measure, against, styles, page)
                        for page in pages(cells)
                    ]
                    for name, figure in _parts(stem, figures):
                        paths += save(figure, out / "figures", name)
        paths += _write_summaries(records, epochs, out, styles)
        paths += write_where_due(records, out, styles)
    return paths


def stems(keys: list[tuple[str, ...]]) -> list[str]:
    """A short name for each key, another one each: what is not the same in all of them.

    The last part of a key is a recipe, ``setting=value, setting=value``; of that, a name has what
    the recipes of the same task do not share. Names that would be long or equal are numbers.
    """
    varying = [i for i in range(len(keys[0]) - 1) if len({key[i] for key in keys}) > 1]
    settings = [re.split(r", (?=[\w.]+=)", key[-1]) for key in keys]
    names = []
    for key, own in zip(keys, settings, strict=True):
        mates = [set(other) for k, other in zip(keys, settings, strict=True) if k[:-1] == key[:-1]]
        different = [setting for setting in own if not all(setting in mate for mate in mates)]
        names.append(file_stem(*(key[i] for i in varying), *different))
    return [
        name if len(name) <= LONGEST_STEM and names.count(name) == 1 else str(number)
        for number, name in enumerate(names, start=1)
    ]


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
    main = main_table(records, epochs)
    pairs = main[(main["correction"] != "") & (main["plain_seeds"] > 0)]
    task = [name for name in task_columns(main.columns) if name != "objective"]
    groups = list(pairs.groupby(task))
    figures = []
    for key, rows in groups:
        stem = file_stem("summary", *(key if len(groups) > 1 else ()))
        drawn = []
        for page in summary_pages(rows):
            objectives = page["objective"].unique()
            title = ", ".join([*key, *objectives] if len(objectives) == 1 else key)
            drawn.append(draw_summary(page, title, styles))
        figures += _parts(stem, drawn)
    paths = []
    for index, (name, figure) in enumerate(figures):
        paths += save(figure, out / "figures", name, out if index < MOST_SHOWN else None)
    for old in {*out.glob("summary*.png")} - {*paths}:
        old.unlink()  # of fewer pages, or other names, since
    return paths


def _parts(stem: str, figures: list[Figure]) -> list[tuple[str, Figure]]:
    if len(figures) == 1:
        return [(stem, figures[0])]
    return [(f"{stem}-{part}", figure) for part, figure in enumerate(figures, start=1)]
