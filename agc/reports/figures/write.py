"""The figures of a grid: learning curves, a forest of effects, and what its placebo shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agc.reports.arms import PLAIN
from agc.reports.curves import read_curves
from agc.reports.figures.calibration import calibrated, draw_calibration
from agc.reports.figures.forest_rows import Pairs, forest_rows, pairs
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
CURVES = [(measure, against) for measure in ("accuracy", "loss") for against in ("epochs", "units")]
Tell = Callable[[int, int, str], None]
"""Takes what is done, how much there is to do, and what is being done."""


def write_figures(
    records: pd.DataFrame,
    epochs: pd.DataFrame,
    out: Path,
    estimates: pd.DataFrame,
    tell: Tell | None = None,
) -> list[Path]:
    """Write every figure of a report as PNG and SVG into ``out/figures``.

    For each data set, architecture, objective and recipe: ``accuracy-by-{epochs,units}`` and
    ``loss-by-{epochs,units}``, followed by what tells it from the others. A recipe of plain runs
    alone has none where another recipe has corrections: its runs stand for equal units, in the
    tables. For each data set and architecture: ``summary``, of which the first two pages are in
    ``out`` itself as PNG. What does not fit on a page is cut into parts, ``…-1``, ``…-2``. For each
    task with a placebo: ``calibration``. What else only some grids have is
    :mod:`agc.reports.figures.where_due`'s.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        out: folder of the report, made if it does not exist.
        estimates: the grid's, as of :func:`agc.reports.pooled.pooled`.
        tell: called with the curves drawn, those to draw, and what comes next.

    Returns:
        The files written.
    """
    tell = tell or (lambda done, total, text: None)
    styles = looks(list(records["correction"]))
    curves = read_curves(records, epochs)
    paths = []
    with style():
        tasks = [*task_columns(records.columns), "recipe"]
        groups = list(corrected_recipes(records).groupby(tasks))
        done, total = 0, len(groups) * len(CURVES)
        for suffix, (_, cells) in zip(stems([key for key, _ in groups]), groups, strict=True):
            for measure, against in CURVES:
                stem = file_stem(f"{measure}-by-{against}", suffix)
                tell(done, total, stem)
                done += 1
                figures = [
                    draw_learning_curves(cells, curves, measure, against, styles, page)
                    for page in pages(cells)
                ]
                for name, figure in _parts(stem, figures):
                    paths += save(figure, out / "figures", name)
        tell(total, total, "the forest plot")
        paths += _write_summaries(forest_rows(records, estimates), out, styles)
        paths += _write_calibrations(records, out, styles)
        paths += write_where_due(records, epochs, out, styles)
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


def corrected_recipes(records: pd.DataFrame) -> pd.DataFrame:
    """Without the recipes that have plain runs only, unless a task has no other."""
    task = task_columns(records.columns)
    corrected = (records["correction"] != PLAIN).rename("corrected")
    here = corrected.groupby([records[key] for key in (*task, "recipe")]).transform("any")
    anywhere = corrected.groupby([records[key] for key in task]).transform("any")
    return records[here | ~anywhere]


def _write_summaries(lines: pd.DataFrame, out: Path, styles: dict[str, Look]) -> list[Path]:
    task = [name for name in task_columns(lines.columns) if name != "objective"]
    groups = list(lines.groupby(task))
    figures = []
    for key, rows in groups:
        stem = file_stem("summary", *(key if len(groups) > 1 else ()))
        drawn = []
        for page in summary_pages(rows):
            objectives = page["objective"].unique()
            title = ", ".join([*key, *objectives] if len(objectives) == 1 else key)
            drawn.append(draw_summary(page, f"Effect on test accuracy: {title}", styles))
        figures += _parts(stem, drawn)
    paths = []
    for index, (name, figure) in enumerate(figures):
        paths += save(figure, out / "figures", name, out if index < MOST_SHOWN else None)
    for old in {*out.glob("summary*.png")} - {*paths}:
        old.unlink()  # of fewer pages, or other names, since
    return paths


def _write_calibrations(records: pd.DataFrame, out: Path, styles: dict[str, Look]) -> list[Path]:
    task = task_columns(records.columns)
    rows: dict[tuple[str, ...], list[Pairs]] = {}
    for row in pairs(records):
        rows.setdefault(tuple(row.key[name] for name in task), []).append(row)
    shown = {key: own for key, own in rows.items() if calibrated(own)}
    names = stems([(*key, "") for key in shown]) if shown else []
    paths = []
    for name, (key, own) in zip(names, shown.items(), strict=True):
        figure = draw_calibration(own, ", ".join(key), styles)
        paths += save(figure, out / "figures", file_stem("calibration", name))
    return paths


def _parts(stem: str, figures: list[Figure]) -> list[tuple[str, Figure]]:
    if len(figures) == 1:
        return [(stem, figures[0])]
    return [(f"{stem}-{part}", figure) for part, figure in enumerate(figures, start=1)]
