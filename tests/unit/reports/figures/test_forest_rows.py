"""Lines of the forest: the same numbers as the tables, and why a row has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agc.reports.compare import main_table
from agc.reports.figures.forest_rows import ALL_DIVERGED, NO_PAIR, forest_rows, pairs
from agc.reports.pooled import pooled
from agc.reports.rows import row_intervals
from tests.support.records import collected, entry, write_cell

ARMS = ("none", "placebo", "svrg")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and epochs: two sparsities and one row of which svrg diverged."""
    root = tmp_path_factory.mktemp("forest")
    folders = [
        write_cell(
            root / "cells",
            method=entry(method),
            sparsity=sparsity,
            correction=entry(name),
            seed=seed,
            diverged=(method, sparsity, name) == ("set", 0.98, "svrg"),
        )
        for method in ("rigl", "set")
        for sparsity in (0.95, 0.98)
        for name in ARMS
        for seed in range(3)
    ]
    return collected(folders, root)


@pytest.fixture(scope="module")
def lines(grid: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    return forest_rows(grid[0], pooled(grid[0]))


def test_rows_have_the_means_of_the_tables_and_the_spread_of_their_sparsity(
    grid: tuple[pd.DataFrame, pd.DataFrame], lines: pd.DataFrame
) -> None:
    main = main_table(*grid).set_index(["method", "sparsity", "correction"])
    single = lines[~lines["pooled"]].set_index(["method", "sparsity", "correction"])
    assert len(single) == len(main)
    table = main.loc[single.index]
    np.testing.assert_allclose(single["mean"], 100 * table["accuracy_difference_mean"])
    np.testing.assert_allclose(single["headroom"], 100 * (1 - table["plain_final_accuracy_mean"]))
    np.testing.assert_allclose(single["units"], table["corrected_units_per_epoch"])
    own = [
        row.differences
        for row in pairs(grid[0])
        if (row.key["correction"], row.key["sparsity"]) == ("placebo", 0.95)
    ]
    expected = row_intervals(own)
    found = single.xs(("placebo", 0.95), level=("correction", "sparsity"))
    np.testing.assert_allclose(found["low"], [row.low for row in expected])
    np.testing.assert_allclose(found["high"], [row.high for row in expected])
    np.testing.assert_allclose(found["detectable"], [row.mde for row in expected])


def test_estimates_come_first_and_the_placebo_last(
    grid: tuple[pd.DataFrame, pd.DataFrame], lines: pd.DataFrame
) -> None:
    assert list(lines["pooled"]) == [True] * 2 + [False] * 8
    assert list(lines["correction"]) == ["svrg", "placebo"] * 5
    estimates = pooled(grid[0]).set_index("correction")
    for line in lines[lines["pooled"]].itertuples():
        estimate = estimates.loc[line.correction]
        keys = ["mean", "low", "high", "detectable", "margin", "verdict"]
        assert [getattr(line, key) for key in keys] == list(estimate[keys])


def test_a_row_without_a_mean_says_why(
    grid: tuple[pd.DataFrame, pd.DataFrame], lines: pd.DataFrame
) -> None:
    lost = lines[lines["note"] != ""]
    assert list(lost[["method", "sparsity", "correction", "note", "n", "seeds"]].iloc[0]) == [
        *("set", 0.98, "svrg", ALL_DIVERGED, 0, 3),
    ]
    assert len(lost) == 1
    records = grid[0].query("sparsity == 0.95 and correction != 'placebo'")
    apart = records[(records["correction"] == "svrg") == (records["seed"] > 0)]
    assert set(forest_rows(apart, pooled(apart))["note"]) == {NO_PAIR}


def test_without_corrections_there_is_no_line(grid: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    plain = grid[0][grid[0]["correction"] == "none"]
    assert forest_rows(plain, pooled(plain)).empty
