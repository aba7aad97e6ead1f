"""Summaries of large grids, and which figures there are of which runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon, Rectangle

from agc.reports.arms import PLAIN
from agc.reports.figures import write as figures
from agc.reports.figures.style import looks, style
from agc.reports.figures.summary import HEADROOM, OUTSIDE, draw_summary
from agc.reports.figures.summary_layout import ROWS_PER_PAGE, height, pages
from agc.reports.figures.write import write_figures
from agc.reports.pooled import pooled
from tests.support.figure_problems import (
    assert_all_on_the_canvas,
    assert_texts_are_apart,
    forest_of,
    one_pair,
    with_methods,
)
from tests.support.records import collected, entry, write_cell

# At 100 % zoom, in points.
SMALLEST_TEXT = 7
TALL = HEADROOM["markersize"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The two lines that compare a corrected with a plain run: of all rows, and of the only one."""
    return one_pair(tmp_path_factory.mktemp("pair"))[1]


def drawn(axis: Axes, marker: Any) -> list[float]:
    """Where the marks of a kind stand, in points."""
    return [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == marker]


def diamonds(axis: Axes) -> list[tuple[float, float, float]]:
    """Lower end, centre and upper end of each diamond."""
    corners = [patch.get_xy() for patch in axis.patches if type(patch) is Polygon]
    return [(found[0, 0], found[1, 0], found[2, 0]) for found in corners]


@pytest.mark.parametrize("number", [1, 2, 30])
def test_the_summary_has_room_for_all_corrections(pair: pd.DataFrame, number: int) -> None:
    objectives, recipe = ("pgd-at", "standard"), "epochs=8, optimizer.lr=0.1"
    rows = forest_of(pair, number, objectives, (0.9, 0.98), recipe)
    parts = pages(rows)
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    styles = looks(list(rows["correction"]))
    with style():
        for part in (parts[0], parts[-1]):
            figure = draw_summary(part, "digits, resnet8", styles)
            assert_all_on_the_canvas(figure)
            (axis,) = figure.axes
            assert_texts_are_apart([*axis.get_yticklabels(), *axis.texts])
            assert min(text.get_fontsize() for text in axis.texts) >= SMALLEST_TEXT
            names = {text.get_text() for text in axis.get_yticklabels()}
            named = set(part["correction"]) if number > 1 else set()
            assert named <= names
            colours = [line.get_color() for line in axis.lines if line.get_marker() == "o"]
            singles = part.loc[~part["pooled"], "correction"]
            assert colours == [styles[name]["color"] for name in singles]


def test_marks_stand_at_the_numbers_of_the_tables(pair: pd.DataFrame) -> None:
    rows = forest_of(pair, 2, sparsities=(0.9, 0.98))
    rows["headroom"] = [np.nan, np.nan, 0.5, 0.6, 1000.0, 1000.0]
    rows.loc[:, ["mean", "low", "high"]] = [[0.1 * i, -1.0 - i, 1.0 + i] for i in range(6)]
    (axis,) = draw_summary(rows, "title", looks(list(rows["correction"]))).axes
    together, single = rows[rows["pooled"]], rows[~rows["pooled"]]
    expected = together[["low", "mean", "high"]].to_numpy()
    np.testing.assert_allclose(diamonds(axis), expected)
    assert drawn(axis, "o") == pytest.approx(list(single["mean"]))
    intervals = [
        line.get_xdata()
        for line in axis.lines
        if line.get_linestyle() == "-" and np.ptp(line.get_xdata()) > 0
    ]
    np.testing.assert_allclose(intervals, single[["low", "high"]].to_numpy())
    (band,) = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    assert (band.get_x(), band.get_x() + band.get_width()) == (-1, 1)
    ticks = [line for line in axis.lines if line.get_marker() == "|"]
    small = [float(line.get_xdata()[0]) for line in ticks if line.get_markersize() < TALL]
    detectable = [sign * value for value in rows["detectable"] for sign in (-1, 1)]
    assert small == pytest.approx(detectable)
    headroom = [float(line.get_xdata()[0]) for line in ticks if line.get_markersize() >= TALL]
    assert [value for value in headroom if not np.isnan(value)] == [0.5, 0.6]
    # Where it is farther than the axis goes there is an arrow at the end.
    end = axis.get_xlim()[1]
    beyond = drawn(axis, OUTSIDE["marker"])
    assert len(beyond) == 2
    assert end <= min(beyond) <= max(beyond) < 1.1 * end


def test_verdicts_numbers_and_costs_are_written_beside_the_panel(pair: pd.DataFrame) -> None:
    (axis,) = draw_summary(pair, "title", looks(["agc"])).axes
    together, single = pair.itertuples()
    texts = [text.get_text() for text in axis.texts]
    assert together.verdict in texts
    assert f"{together.mean:+.2f} [{together.low:+.2f}, {together.high:+.2f}]" in texts
    assert "10 (none 3)" in texts
    assert single.units == 10
    assert [text.get_text() for text in axis.get_yticklabels()] == ["all 1 rows", "rigl 95 %"]


def test_an_interval_as_wide_as_no_other_is_cut_off(pair: pd.DataFrame) -> None:
    rows = forest_of(pair, 20)
    rows[["mean", "low", "high"]] = 0.1, -1.0, 1.0
    rows.iloc[-1, rows.columns.get_indexer(["low", "high"])] = -90.0, 90.0
    (axis,) = draw_summary(rows, "title", looks(list(rows["correction"]))).axes
    low, high = axis.get_xlim()
    assert high < 2
    assert drawn(axis, "<") == [low]
    assert drawn(axis, ">") == [high]


def test_a_placebo_is_grey_and_hatched(pair: pd.DataFrame) -> None:
    rows = pd.concat([pair, pair.assign(correction="placebo")]).sort_values(
        "pooled", ascending=False, kind="stable"
    )
    styles = looks(["agc", "placebo"])
    figure = draw_summary(rows, "title", styles)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert [to_hex(patch.get_edgecolor()) for patch in hatched] == [styles["placebo"]["color"]]
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s"]
    assert [line.get_color() for line in squares] == [styles["placebo"]["color"]]
    (legend,) = figure.legends
    assert any("placebo" in text.get_text() for text in legend.get_texts())


def test_the_summary_of_many_methods_is_cut_into_pages(pair: pd.DataFrame) -> None:
    together, single = pair[pair["pooled"]], pair[~pair["pooled"]]
    rows = pd.concat([together, with_methods(single, 28, (0.9, 0.95, 0.98))])
    parts = pages(rows)
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    heights = [height(part) for part in parts]
    assert sum(heights) > (len(parts) - 1) * ROWS_PER_PAGE, "fewer pages would do"
    assert min(heights) > 0.9 * max(heights)
    assert max(heights) <= ROWS_PER_PAGE
    with style():
        assert_all_on_the_canvas(draw_summary(parts[0], "title", looks(["agc"])))


def test_a_group_longer_than_a_page_goes_on_under_the_same_heading(pair: pd.DataFrame) -> None:
    parts = pages(forest_of(pair[~pair["pooled"]], 60))
    assert [len(part) for part in parts] == [30, 30]
    for part in parts:
        figure = draw_summary(part, "title", looks(list(part["correction"])))
        assert figure.axes[0].get_yticklabels()[0].get_text() == "rigl 95 %"


@pytest.fixture
def names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only name the files: what they show is tested above."""
    monkeypatch.setattr(figures, "save", lambda _, out, stem, shown=None: [out / f"{stem}.svg"])


def names_of(folders: list[Path], out: Path) -> list[str]:
    records, epochs = collected(folders, out)
    return [path.name for path in write_figures(records, epochs, out, pooled(records))]


def grid_with_controls(root: Path, corrections: tuple[str, ...]) -> list[Path]:
    """A recipe with the corrections, and a longer one of plain runs alone."""
    longer = {"epochs": 30, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}}
    folders = [write_cell(root, correction=entry(name)) for name in corrections]
    return [*folders, write_cell(root, training=longer)]


@pytest.mark.usefixtures("names_alone")
def test_recipes_of_plain_runs_alone_have_no_curves_beside_corrected_ones(tmp_path: Path) -> None:
    names = names_of(grid_with_controls(tmp_path / "cells", (PLAIN, "agc")), tmp_path)
    assert len(names) == 4 + 1
    assert not any("epochs-30" in name for name in names)


@pytest.mark.usefixtures("names_alone")
def test_plain_runs_have_curves_where_they_are_all_there_is(tmp_path: Path) -> None:
    names = names_of(grid_with_controls(tmp_path / "cells", (PLAIN,)), tmp_path)
    assert len(names) == 4 * 2
    assert len([name for name in names if "epochs-30" in name]) == 4


@pytest.mark.usefixtures("names_alone")
def test_pages_of_a_figure_are_numbered(tmp_path: Path) -> None:
    folders = [
        write_cell(tmp_path / "cells", method=entry(f"m{index}"), sparsity=sparsity)
        for index in range(6)
        for sparsity in (0.5, 0.9)
    ]
    names = [name for name in names_of(folders, tmp_path) if "-by-" in name]
    assert len(names) == len(set(names)) == 4 * 2
    assert {f"loss-by-units-{part}.svg" for part in (1, 2)} < set(names)
