"""Summaries of large grids, and which figures there are of which runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agc.reports.arms import PLAIN
from agc.reports.figures import write as figures
from agc.reports.figures.style import looks, style
from agc.reports.figures.summary import draw_summary
from agc.reports.figures.summary_layout import ROWS_PER_PAGE, height, pages
from agc.reports.figures.write import write_figures
from tests.support.figure_problems import (
    assert_all_on_the_canvas,
    assert_texts_are_apart,
    one_pair,
    rows_of,
    with_methods,
)
from tests.support.records import collected, entry, write_cell


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The row that compares a corrected with a plain run."""
    return one_pair(tmp_path_factory.mktemp("pair"))[1]


@pytest.mark.parametrize("number", [1, 2, 30])
def test_the_summary_has_room_for_all_corrections(row: pd.DataFrame, number: int) -> None:
    rows = pd.concat(
        [
            rows_of(row, number, sparsity=sparsity, objective=objective)
            for objective in ("pgd-at", "standard")
            for sparsity in (0.9, 0.98)
        ]
    ).assign(recipe="epochs=8, optimizer.lr=0.1", epochs_to_99_difference_mean=-2.0)
    parts = pages(rows)
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    styles = looks(list(rows["correction"]))
    with style():
        for part in (parts[0], parts[-1]):
            figure = draw_summary(part, "digits, resnet8", styles)
            assert_all_on_the_canvas(figure)
            left = figure.axes[0]
            assert_texts_are_apart(left.get_yticklabels())
            names = {text.get_text() for text in left.get_yticklabels()}
            named = set(part["correction"]) if number > 1 else set()
            assert named <= names
            colours = [line.get_color() for line in left.lines if line.get_marker() == "o"]
            assert colours == [styles[name]["color"] for name in part["correction"]]


def test_the_summary_of_many_methods_is_cut_into_pages(row: pd.DataFrame) -> None:
    rows = with_methods(row, 28, (0.9, 0.95, 0.98))
    parts = pages(rows)
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    heights = [height(part) for part in parts]
    assert sum(heights) > (len(parts) - 1) * ROWS_PER_PAGE, "fewer pages would do"
    assert min(heights) > 0.9 * max(heights)
    assert max(heights) <= ROWS_PER_PAGE
    with style():
        assert_all_on_the_canvas(draw_summary(parts[0], "title", looks(["agc"])))


def test_a_group_longer_than_a_page_goes_on_under_the_same_heading(row: pd.DataFrame) -> None:
    parts = pages(rows_of(row, 60))
    assert [len(part) for part in parts] == [30, 30]
    for part in parts:
        figure = draw_summary(part, "title", looks(list(part["correction"])))
        assert figure.axes[0].get_yticklabels()[0].get_text() == "rigl 95 %"


def test_a_row_without_a_number_of_epochs_is_an_empty_line(row: pd.DataFrame) -> None:
    rows = rows_of(row, 2)
    rows["epochs_to_99_difference_n"] = 3
    for name, values in {
        "mean": [-2.0, np.nan],
        "low": [-3.0, np.nan],
        "high": [-1.0, np.nan],
    }.items():
        rows[f"epochs_to_99_difference_{name}"] = values
    with style():
        figure = draw_summary(rows, "title", looks(list(rows["correction"])))
        assert_all_on_the_canvas(figure)
    right = figure.axes[1]
    assert [line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"] == [-2.0]
    assert right.get_xlim() == pytest.approx((-3 * 1.08, 3 * 1.08))


@pytest.fixture
def names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only name the files: what they show is tested above."""
    monkeypatch.setattr(figures, "save", lambda _, out, stem, shown=None: [out / f"{stem}.svg"])


def names_of(folders: list[Path], out: Path) -> list[str]:
    return [path.name for path in write_figures(*collected(folders, out), out)]


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
    names = names_of(folders, tmp_path)
    assert len(names) == len(set(names)) == 4 * 2
    assert {f"loss-by-units-{part}.svg" for part in (1, 2)} < set(names)
