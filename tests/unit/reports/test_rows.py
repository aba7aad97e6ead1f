"""Spread and intervals of rows against scipy, statsmodels and published tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agc.reports.rows import mean_of_rows, pooled_sd, row_intervals, smallest_detectable


def normal_rows(k: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.002, 0.01, (k, n))


def test_one_row_is_scipys_paired_test() -> None:
    row = normal_rows(1, 6)[0]
    got = mean_of_rows([row])
    assert got.mean == pytest.approx(row.mean())
    assert got.se == pytest.approx(stats.sem(row))
    assert got.df == pytest.approx(5)


def test_two_rows_are_welchs_test() -> None:
    """Half the sum of two means has the df and t of Welch's test of their difference."""
    one, other = normal_rows(2, 7)
    other = 3 * other[:4]
    oracle = stats.ttest_ind(one, -other, equal_var=False)
    got = mean_of_rows([one, other])
    assert got.df == pytest.approx(oracle.df)
    assert got.mean / got.se == pytest.approx(oracle.statistic)


def test_equal_spreads_add_up_their_degrees_of_freedom() -> None:
    row = np.array([-1.0, 0.0, 1.0])
    got = mean_of_rows([row + shift for shift in range(7)])
    assert got.mean == pytest.approx(3)
    assert got.se == pytest.approx(np.sqrt(7 / 3) / 7)
    assert got.df == pytest.approx(14)


def test_a_row_of_one_pair_takes_the_spread_of_the_others() -> None:
    got = mean_of_rows([[-1.0, 1.0], [5.0]])
    # s² = 2 of one row: √(2/2 + 2/1) / 2, and one degree of freedom in all.
    assert got == pytest.approx((2.5, np.sqrt(3) / 2, 1))
    apart = mean_of_rows([[-1.0, 1.0], [5.0]], groups=["a", "b"])
    assert apart.mean == 2.5
    assert np.isnan(apart.se)


def test_a_row_without_spread_counts_with_its_zero() -> None:
    got = mean_of_rows([[-1.0, 0.0, 1.0], [0.25, 0.25, 0.25]])
    assert got == pytest.approx((0.125, np.sqrt(1 / 3) / 2, 2))


@pytest.mark.parametrize("rows", [[[0.25, 0.25]], [[0.1, 0.1 + 1e-14], [0.0, 0.0]], [[0.1], [0.2]]])
def test_no_spread_at_all_has_no_standard_error(rows: list[list[float]]) -> None:
    got = mean_of_rows(rows)
    assert got.mean == pytest.approx(np.mean([np.mean(row) for row in rows]))
    assert np.isnan(got.se)
    assert all(np.isnan([row.low, row.high, row.p, row.mde]).all() for row in row_intervals(rows))


def test_no_pair_has_no_mean() -> None:
    assert np.isnan(mean_of_rows([[np.nan], []])).all()
    assert mean_of_rows([[1.0, 3.0], [np.nan]]).mean == 2


def test_pooled_sd_is_that_of_the_analysis_of_variance() -> None:
    rows = [normal_rows(1, n, n)[0] for n in (2, 3, 5, 1)]
    squares = sum(((row - row.mean()) ** 2).sum() for row in rows)
    assert pooled_sd(rows) == pytest.approx((np.sqrt(squares / 7), 7))
    assert np.isnan(pooled_sd([[1.0], [2.0]]).sd)


def test_rows_intervals_borrow_the_spread_of_their_group() -> None:
    rows = [[-1.0, 0.0, 1.0], [4.9, 5.0, 5.1], [1.0]]
    first, second, third = row_intervals(rows)
    sd = np.sqrt((1 + 0.01) / 2)
    half = stats.t.ppf(0.975, 4) * sd / np.sqrt(3)
    assert (second.low, second.high) == pytest.approx((5 - half, 5 + half))
    assert first.high - first.low == pytest.approx(2 * half)
    assert third.high - third.low == pytest.approx(2 * half * np.sqrt(3))
    assert second.p == pytest.approx(2 * stats.t.sf(5 * np.sqrt(3) / sd, 4))
    own = row_intervals(rows, groups=["a", "b", "a"])[1]
    oracle = stats.ttest_1samp(rows[1], 0)
    assert (own.low, own.high) == pytest.approx(tuple(oracle.confidence_interval()))
    assert own.p == pytest.approx(oracle.pvalue)


def test_groups_are_one_for_each_row() -> None:
    with pytest.raises(ValueError, match="1 groups for 2 rows"):
        row_intervals([[1.0], [2.0]], groups=["a"])


@pytest.mark.parametrize(
    ("n", "expected"), [(3, 3.26), (5, 1.68), (10, 1.00), (15, 0.78), (20, 0.66)]
)
def test_smallest_detectable_effect_is_that_of_power_tables(n: int, expected: float) -> None:
    from statsmodels.stats.power import TTestPower

    got = smallest_detectable(1 / np.sqrt(n), n - 1)
    assert got == pytest.approx(expected, abs=0.005)
    oracle = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    # The library counts findings in the wrong direction too: 1e-6 of power.
    assert got == pytest.approx(oracle, rel=1e-5)


def test_smallest_detectable_effect_is_a_number_for_any_degrees_of_freedom() -> None:
    found = [smallest_detectable(1.0, df) for df in (*range(1, 61), 1.3, 7.7, 120.5, 1e4)]
    assert np.isfinite(found).all()
    assert found[:60] == sorted(found[:60], reverse=True)
    limit = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found[-1] == pytest.approx(limit, abs=1e-3)
    assert np.isnan(smallest_detectable(np.nan, 3))
    assert np.isnan(smallest_detectable(0.0, 3))
