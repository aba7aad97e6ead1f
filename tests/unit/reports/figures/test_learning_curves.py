"""Learning curves of large grids: nothing is cut off, nothing overlaps, no two lines look alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agc.reports.arms import PLAIN
from agc.reports.curves import Curve
from agc.reports.figures.learning_curves import draw_learning_curves, pages, panels
from agc.reports.figures.style import add_legend, fit, looks, style, text_width
from tests.support.figure_problems import (
    assert_all_on_the_canvas,
    assert_texts_are_apart,
    one_pair,
    with_corrections,
    with_methods,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Curve]]:
    records, _, curves = one_pair(tmp_path_factory.mktemp("pair"))
    return records, curves


@pytest.mark.parametrize(
    ("number", "measure"), [(1, "loss"), (7, "accuracy"), (11, "loss"), (30, "accuracy")]
)
def test_learning_curves_have_room_for_all_corrections(
    runs: Any, number: int, measure: str
) -> None:
    records, curves = runs
    cells = with_methods(with_corrections(records, number), 3, (0.9,))
    with style():
        figure = draw_learning_curves(
            cells, curves, measure, "units", looks(list(cells["correction"]))
        )
        assert_all_on_the_canvas(figure)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == number + 1
    assert_texts_are_apart(legend.get_texts())
    # The legend's height comes on top of the panels'.
    assert all(axis.get_window_extent().height > 1.1 * figure.dpi for axis in figure.axes)


def test_lines_and_legend_agree_and_no_two_are_alike(runs: Any) -> None:
    records, curves = runs
    cells = with_corrections(records, 30)
    styles = looks(list(cells["correction"]))
    figure = draw_learning_curves(cells, curves, "loss", "epochs", styles)
    (axis,), (legend,) = figure.axes, figure.legends

    def seen(line: Line2D) -> tuple[Any, ...]:
        # Matplotlib calls every pattern of its own "--".
        return line.get_color(), line._unscaled_dash_pattern, line.get_marker()

    drawn = [seen(line) for line in axis.lines]
    assert len(set(drawn)) == len(drawn) == 31
    assert set(drawn) == {seen(line) for line in legend.get_lines()}


def test_line_and_marker_tell_thirty_six_corrections_apart_without_colour() -> None:
    styles = looks([f"c{index}" for index in range(36)])
    del styles[PLAIN]
    assert len({(look["linestyle"], look["marker"]) for look in styles.values()}) == 36
    assert all(look["marker"] for look in styles.values())


def test_every_line_has_markers_wherever_it_starts(runs: Any) -> None:
    records, curves = runs
    short = {
        slug: Curve(**{key: value[:2] for key, value in vars(curve).items()})
        for slug, curve in curves.items()
    }
    for these, epochs in ((curves, 12), (short, 2)):
        cells = with_corrections(records, 8)
        styles = looks(list(cells["correction"]))
        figure = draw_learning_curves(cells, these, "accuracy", "epochs", styles)
        for line in figure.axes[0].lines:
            first, step = line.get_markevery()
            assert len(line.get_xdata()) == epochs
            assert len(range(first, epochs, step)) >= 2


@pytest.mark.parametrize("arms", [2, 9])
def test_many_methods_are_cut_into_pages(runs: Any, arms: int) -> None:
    records, curves = runs
    cells = with_methods(with_corrections(records, arms - 1), 28, (0.9, 0.95, 0.98))
    parts = pages(cells)
    assert len(parts) > 1
    assert [row for part in parts for row in part] == panels(cells)
    with style():
        figure = draw_learning_curves(
            cells, curves, "accuracy", "units", looks(list(cells["correction"])), parts[0]
        )
        assert len(figure.axes) == len(parts[0]) * 3
        assert_all_on_the_canvas(figure)


def test_long_names_of_methods_are_broken_into_lines(runs: Any) -> None:
    records, curves = runs
    long = "rigl(drop_fraction=0.3, grow=gradient, schedule=cosine, update_every=100)"
    cells = pd.concat([records.assign(method=f"{letter}-{long}") for letter in "ab"])
    with style():
        figure = draw_learning_curves(cells, curves, "loss", "epochs", looks(["agc"]))
        assert_all_on_the_canvas(figure)
        assert_texts_are_apart([axis.title for axis in figure.axes])
    for axis, letter in zip(figure.axes, "ab", strict=True):
        assert axis.get_title().replace("\n", " ") == f"{letter}-{long}, 95 %"


def test_failures_are_named_while_there_is_room_and_counted_beyond(runs: Any) -> None:
    records, curves = runs
    for number, expected in ((5, ["c0: 2 of 2 diverged"]), (9, None)):
        cells = with_corrections(records, number)
        failed = cells["correction"] != PLAIN if expected is None else cells["correction"] == "c0"
        cells = cells.assign(status=np.where(failed, "diverged", "finished"))
        with style():
            figure = draw_learning_curves(
                cells, curves, "accuracy", "units", looks(list(cells["correction"]))
            )
            assert_all_on_the_canvas(figure)
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert texts == (expected or ["18 of 20 runs diverged, in 9 of 10 arms"])


def test_a_legend_has_as_few_rows_as_fit_and_widens_the_figure_if_none_do() -> None:
    title = "a title that is wider than the figure " * 3
    for labels, columns in (
        (["a", "b", "c"], 3),
        (["a fairly long label of a line"] * 6, 2),
        (["a label that is longer than the figure is wide, " * 3] * 2, 1),
    ):
        figure = Figure(figsize=(6, 2), layout="constrained")
        with style():
            add_legend(figure, [Line2D([], []) for _ in labels], labels, title)
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert legend._ncols == columns
        assert (figure.get_figwidth() == pytest.approx(6)) == (columns > 1)
        assert box.width < figure.bbox.width
        assert figure.get_figheight() == pytest.approx(2 + box.height / figure.dpi)


def test_text_is_broken_only_where_it_is_too_wide() -> None:
    figure = Figure()
    text = "one two three four five six seven"
    assert fit(figure, text, text_width(figure, text) + 0.01) == text
    narrow = fit(figure, text, 0.8)
    assert narrow.replace("\n", " ") == text
    assert 0.4 < text_width(figure, narrow) <= 0.8
