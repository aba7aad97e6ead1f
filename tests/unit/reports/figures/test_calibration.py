"""The A/A figure: its bars are the pairs, its curve is a t density, and it needs a placebo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t

from agc.reports.figures.calibration import BIN, calibrated, draw_calibration, spreads
from agc.reports.figures.forest_rows import Pairs
from agc.reports.figures.style import looks, style
from agc.reports.figures.write import write_figures
from agc.reports.pooled import pooled
from tests.support.figure_problems import assert_all_on_the_canvas, assert_texts_are_apart
from tests.support.records import collected, entry, write_cell


def made_up(corrections: dict[str, float], seeds: int) -> list[Pairs]:
    """Rows of two sparsities, one with four times the spread, each correction with an effect."""
    rng = np.random.default_rng(0)
    none = pd.DataFrame()
    return [
        Pairs(
            {"correction": name, "sparsity": sparsity, "method": method},
            none,
            none,
            shift + scale * rng.normal(size=seeds),
        )
        for name, shift in corrections.items()
        for method in ("rigl", "set")
        for sparsity, scale in ((0.95, 0.5), (0.98, 2.0))
    ]


def panels(rows: list[Pairs]) -> dict[str, Axes]:
    with style():
        figure = draw_calibration(rows, "digits", looks([row.key["correction"] for row in rows]))
        assert_all_on_the_canvas(figure)
    return named(figure)


def named(figure: Figure) -> dict[str, Axes]:
    return {axis.get_title().split("\n")[0]: axis for axis in figure.axes if axis.get_title()}


def test_bars_count_the_pairs_in_spreads_of_the_placebo() -> None:
    rows = made_up({"agc": 1.0, "placebo": 0.0}, 10)
    found = panels(rows)
    assert list(found) == ["placebo", "agc"]
    known = spreads(rows)
    for name, axis in found.items():
        values = np.concatenate(
            [
                row.differences / known[row.key["sparsity"]].sd
                for row in rows
                if row.key["correction"] == name
            ]
        )
        heights = [bar.get_height() for bar in axis.patches]
        assert sum(heights) == len(values) == 40
        edges = [bar.get_x() for bar in axis.patches]
        inside = [((values >= edge) & (values < edge + BIN)).sum() for edge in edges]
        assert heights[1:-1] == inside[1:-1]
        (mean,) = [line for line in axis.lines if line.get_marker() == "^"]
        assert mean.get_xdata()[0] == pytest.approx(values.mean())


def test_the_curve_is_the_t_density_times_the_pairs_of_a_bin() -> None:
    rows = made_up({"agc": 1.0, "placebo": 0.0}, 10)
    for axis in panels(rows).values():
        (curve,) = [line for line in axis.lines if line.get_linestyle() == "--"]
        # Two rows of ten pairs have 18 degrees of freedom, at either sparsity.
        np.testing.assert_allclose(curve.get_ydata(), 40 * BIN * t.pdf(curve.get_xdata(), 18))


def test_few_pairs_are_dots_and_far_ones_are_counted_at_the_edge() -> None:
    rows = made_up({"agc": 1000.0, "placebo": 0.0}, 3)
    found = panels(rows)
    for axis in found.values():
        assert len([line for line in axis.lines if line.get_marker() == "o"]) == 12
        assert not axis.patches
    assert [text.get_text() for text in found["agc"].texts] == ["12 beyond"]
    assert not found["placebo"].texts


@pytest.mark.parametrize("number", [1, 11])
def test_there_is_room_for_all_corrections(number: int) -> None:
    names = [f"agc(estimator=online, gamma={index})" for index in range(number)]
    rows = made_up(dict.fromkeys([*names, "placebo"], 0.0), 5)
    with style():
        figure = draw_calibration(rows, "digits, resnet8, standard", looks([*names, "placebo"]))
        assert_all_on_the_canvas(figure)
        assert_texts_are_apart([axis.title for axis in figure.axes])
    assert len([axis for axis in figure.axes if axis.get_title()]) == number + 1


def test_a_placebo_without_spread_calibrates_nothing() -> None:
    assert not calibrated(made_up({"agc": 1.0}, 3))
    assert not calibrated(made_up({"placebo": 1.0}, 1))
    assert calibrated(made_up({"placebo": 1.0}, 2))


def test_there_is_a_file_for_each_task_with_a_placebo_alone(tmp_path: Path) -> None:
    folders = [
        write_cell(
            tmp_path / "cells", objective=entry(objective), correction=entry(name), seed=seed
        )
        for objective, arms in (("standard", ("none", "placebo")), ("pgd-at", ("none", "agc")))
        for name in arms
        for seed in range(2)
    ]
    records, epochs = collected(folders, tmp_path / "out")
    paths = write_figures(records, epochs, tmp_path / "a", pooled(records))
    names = [path.name for path in paths if "calibration" in path.name]
    assert names == ["calibration.png", "calibration.svg"]
    without = records[records["correction"] != "placebo"]
    paths = write_figures(without, epochs, tmp_path / "b", pooled(without))
    assert not [path for path in paths if "calibration" in path.name]
