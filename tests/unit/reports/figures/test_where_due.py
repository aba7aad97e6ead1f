"""Figures that some grids have: what they show, and that other grids have none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.reports.figures.gamma import Dose, dose, draw_gammas
from agc.reports.figures.ladder import draw_ladders
from agc.reports.figures.learning_rates import draw_learning_rates
from agc.reports.figures.profile import draw_profile, profiles
from agc.reports.figures.style import looks, style
from agc.reports.figures.where_due import write_where_due
from agc.reports.pooled import pooled
from tests.support.figure_problems import assert_all_on_the_canvas
from tests.support.ladders import error_after, ladder_grid
from tests.support.records import collected, write_cell


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of one finished plain run."""
    root = tmp_path_factory.mktemp("cell")
    records, _ = collected([write_cell(root / "cells")], root)
    return records.iloc[0].to_dict()


@pytest.fixture(scope="module")
def rungs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("ladder")
    return collected(ladder_grid(root / "cells", 0.5, seeds=2), root)[0]


def runs(cell: dict[str, Any], accuracies: list[float], **changes: Any) -> list[dict[str, Any]]:
    """A run for each accuracy, of one seed each."""
    return [
        cell | {"seed": seed, "final_test_accuracy": accuracy} | changes
        for seed, accuracy in enumerate(accuracies)
    ]


def test_the_ladder_shows_error_by_epochs_and_by_units(rungs: pd.DataFrame) -> None:
    with style():
        (figure,) = draw_ladders(rungs, looks(list(rungs["correction"])))
    assert_all_on_the_canvas(figure)
    epochs, _, units, _ = figure.axes
    assert [axis.get_title() for axis in figure.axes[:2]] == ["rigl, 95 %", "rigl, 98 %"]
    for axis, cost in ((epochs, (1, 1)), (units, (3, 9))):
        plain, agc, _ = axis.lines
        np.testing.assert_allclose(plain.get_xdata(), cost[0] * np.array([4, 8, 16, 32]))
        np.testing.assert_allclose(agc.get_xdata(), cost[1] * np.array([4, 8, 16]))
        expected = [100 * error_after(2 * budget) for budget in (4, 8, 16)]
        np.testing.assert_allclose(agc.get_ydata(), expected)


def test_learning_rates_have_a_panel_for_each_arm(cell: dict[str, Any]) -> None:
    found = []
    for correction, gain in (("none", 0.0), ("agc", 0.01)):
        for rate, accuracy in ((0.03, 0.8), (0.1, 0.9), (0.3, 0.7)):
            family = f"batch_size=64, optimizer.lr={rate}"
            arm = {"correction": correction, "family": family}
            found += runs(cell, [accuracy + gain, accuracy + gain + 0.02], **arm)
    # At equal units, of one arm alone: no part of the comparison.
    found += runs(cell, [0.99], family="batch_size=64, optimizer.lr=0.1", epochs=40)
    records = pd.DataFrame(found)
    with style():
        (figure,) = draw_learning_rates(records, looks(["none", "agc"]))
    assert_all_on_the_canvas(figure)
    none, agc = figure.axes
    assert (none.get_title(), agc.get_title()) == ("none", "agc")
    (line,) = (bars.lines[0] for bars in none.containers)
    np.testing.assert_allclose(line.get_xdata(orig=False), [0.03, 0.1, 0.3])
    np.testing.assert_allclose(line.get_ydata(orig=False), [81, 91, 71])
    np.testing.assert_allclose(agc.lines[0].get_ydata(), [81, 91, 71])  # Those of none, in grey.
    assert not draw_learning_rates(records[records["family"].str.endswith("0.1")], looks(["none"]))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("agc", Dose("agc", 0.1)),
        ("agc(gamma=0.03)", Dose("agc", 0.03)),
        ("agc(estimator=online, gamma=1.0)", Dose("agc(estimator=online)", 1.0)),
        ("agc(gamma=0.3, variant=a-bsr)", Dose("agc(variant=a-bsr)", 0.3)),
        ("agc(gamma=0)", None),
        ("svrg", None),
        ("not-installed", None),
    ],
)
def test_the_dose_stands_in_the_label(label: str, expected: Dose | None) -> None:
    assert dose(label) == expected


def test_doses_are_pooled_differences(cell: dict[str, Any]) -> None:
    doses = {"agc": 0.01, "agc(gamma=0.03)": 0.02, "agc(gamma=1.0)": -0.03}
    found = []
    for sparsity in (0.9, 0.98):
        found += runs(cell, [0.8, 0.82, 0.81], sparsity=sparsity)
        for name, gain in doses.items():
            own = [0.8 + gain, 0.82 + gain, 0.815 + gain]
            found += runs(cell, own, sparsity=sparsity, correction=name)
    records = pd.DataFrame(found)
    with style():
        (figure,) = draw_gammas(records)
    assert_all_on_the_canvas(figure)
    (axis,) = figure.axes
    *_, together = axis.containers
    found_in_all = pooled(records)
    means = found_in_all[found_in_all["budget"] == "epochs"].set_index("correction")["mean"]
    order = ["agc(gamma=0.03)", "agc", "agc(gamma=1.0)"]
    np.testing.assert_allclose(together.lines[0].get_ydata(orig=False), means[order])
    assert len(axis.containers) == 3  # Two sparsities, and both together.
    assert not draw_gammas(records[records["correction"] != "agc"])


def test_profiles_are_shares_within_points_of_the_highest(cell: dict[str, Any]) -> None:
    found = []
    for index in range(7):
        found += runs(cell, [0.9 - 0.01 * index, 0.8 + 0.01 * index], method=f"m{index}")
    found += runs(cell, [0.99, 0.99], method="m0", correction="agc")
    found += runs(cell, [0.97, 0.97], method="dense", sparsity=0.0)
    found += runs(cell, [np.nan, 0.86], method="lost")
    found[-2]["status"] = "diverged"
    records = pd.DataFrame(found)
    own = {one.method: one for one in profiles(records)}
    assert set(own) == {*(f"m{index}" for index in range(7)), "lost"}
    np.testing.assert_allclose(own["m2"].distances, [2, 4])
    np.testing.assert_allclose(own["m2"].shares(np.array([1.9, 2, 4])), [0, 0.5, 1])
    np.testing.assert_allclose(own["lost"].shares(np.array([0, 100])), [0.5, 0.5])
    with style():
        (figure,) = draw_profile(records)
    assert_all_on_the_canvas(figure)
    assert "8 methods" in figure.legends[0].get_title().get_text()
    assert len(figure.axes[0].lines) == 8
    assert not draw_profile(records[records["method"].isin(["m0", "m1", "m2", "m3"])])


def test_only_what_is_due_is_written(
    tmp_path: Path, rungs: pd.DataFrame, cell: dict[str, Any]
) -> None:
    none = pd.DataFrame()
    with style():
        paths = write_where_due(rungs, none, tmp_path, looks(list(rungs["correction"])))
        names = [path.relative_to(tmp_path).as_posix() for path in paths]
        assert names == ["ladder.png", "figures/ladder.svg"]
        assert write_where_due(pd.DataFrame([cell]), none, tmp_path, looks(["none"])) == []
    assert not (tmp_path / "ladder.png").exists()
