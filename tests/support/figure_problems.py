"""A pair of runs, multiplied to large grids, and what no figure of them may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from agc.reports.arms import PLAIN
from agc.reports.curves import Curve, read_curves
from agc.reports.figures.forest_rows import forest_rows
from agc.reports.pooled import pooled
from tests.support.records import collected, entry, write_cell

# Of the SVG and of the PNG.
RESOLUTIONS = (72, 150)
# Of a page, in inches.
TALLEST, WIDEST = 11.7, 12.0


def one_pair(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Curve]]:
    """Records of a plain and a corrected run, their two lines of a forest, and their curves."""
    folders = [
        write_cell(root / "cells", correction=entry(name), seed=seed)
        for name in (PLAIN, "agc")
        for seed in range(2)
    ]
    records, epochs = collected(folders, root)
    lines = forest_rows(records, pooled(records))
    return records, lines, read_curves(records, epochs)


def name_of(index: int) -> str:
    return f"agc(estimator=online, gamma={index / 10})" if index % 3 else f"c{index}"


def with_corrections(records: pd.DataFrame, number: int) -> pd.DataFrame:
    """Records of ``number`` corrections that share the curves of one."""
    corrected = records[records["correction"] != PLAIN]
    copies = [corrected.assign(correction=name_of(index)) for index in range(number)]
    return pd.concat([records[records["correction"] == PLAIN], *copies])


def with_methods(rows: pd.DataFrame, number: int, sparsities: tuple[float, ...]) -> pd.DataFrame:
    return pd.concat(
        [
            rows.assign(method=f"method-{index:02}", sparsity=sparsity)
            for index in range(number)
            for sparsity in sparsities
        ]
    )


def forest_of(
    lines: pd.DataFrame,
    number: int,
    objectives: tuple[str, ...] = ("standard",),
    sparsities: tuple[float, ...] = (0.95,),
    recipe: str = "",
) -> pd.DataFrame:
    """Lines of a forest of ``number`` corrections, copied from those of one."""
    together, single = lines[lines["pooled"]], lines[~lines["pooled"]]
    return pd.concat(
        [
            line.assign(correction=name_of(index), objective=objective)
            for objective in objectives
            for line in (
                together,
                *(single.assign(sparsity=sparsity, recipe=recipe) for sparsity in sparsities),
            )
            for index in range(number)
        ]
    )


def assert_all_on_the_canvas(figure: Figure) -> None:
    for resolution in RESOLUTIONS:
        figure.set_dpi(resolution)
        figure.draw_without_rendering()
        width, height_ = figure.get_size_inches()
        assert width <= WIDEST
        assert height_ <= TALLEST
        drawn = figure.get_tightbbox()
        pixel = 1 / resolution
        assert min(drawn.x0, drawn.y0) >= -pixel
        assert drawn.x1 <= width + pixel
        assert drawn.y1 <= height_ + pixel
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert not any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)


def assert_texts_are_apart(texts: list[Any]) -> None:
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
