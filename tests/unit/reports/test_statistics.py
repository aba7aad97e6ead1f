"""Statistics against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from agc.reports.statistics import (
    mean_running_best,
    paired_difference,
    running_best,
    summarize,
)

NUMBERS = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))


@given(st.lists(NUMBERS, min_size=2, max_size=12))
def test_summary_is_numpys(values: list[float]) -> None:
    got = summarize([*values, np.nan])
    assert got.n == len(values)
    assert got.mean == pytest.approx(np.mean(values))
    assert got.sd == pytest.approx(np.std(values, ddof=1))


def test_one_value_has_no_standard_deviation() -> None:
    assert summarize([0.5])[0::2] == (0.5, 1)
    assert np.isnan(summarize([0.5]).sd)


def test_no_value_has_no_mean() -> None:
    assert np.isnan(summarize([np.nan]).mean)
    assert summarize([]).n == 0


@pytest.mark.parametrize("n", [2, 3, 10])
def test_interval_is_that_of_scipys_paired_test(n: int) -> None:
    plain, corrected = np.random.default_rng(n).normal(size=(2, n))
    oracle = stats.ttest_rel(corrected, plain).confidence_interval(0.95)
    got = paired_difference(corrected - plain)
    assert (got.low, got.high) == pytest.approx(tuple(oracle))
    assert got.mean == pytest.approx(np.mean(corrected) - np.mean(plain))
    assert got.n == n


def test_one_pair_has_no_interval() -> None:
    got = paired_difference([0.02, np.nan])
    assert (got.mean, got.n) == (0.02, 1)
    assert np.isnan(got.low)
    assert np.isnan(got.high)


@pytest.mark.parametrize("hits", [[3, 3, 3], [-1, -1], [0, 0, 0, 0, 0]])
def test_the_same_difference_in_all_pairs_has_no_interval(hits: list[int]) -> None:
    # Of 360 images: the floating-point differences are not the same to the last bit.
    plain = np.array([331, 340, 352, 298, 311])[: len(hits)]
    got = paired_difference((plain + hits) / 360 - plain / 360)
    assert got.mean == pytest.approx(hits[0] / 360)
    assert got.n == len(hits)
    assert np.isnan(got.low)
    assert np.isnan(got.high)


def test_one_hit_of_difference_between_pairs_has_an_interval() -> None:
    hits = np.array([3, 3, 4])
    plain = np.array([9331, 9340, 9352])
    got = paired_difference((plain + hits) / 1e4 - plain / 1e4)
    assert got.low < 3e-4 < got.mean < got.high


@given(arrays(float, (3, 7), elements=NUMBERS), st.booleans())
def test_running_best_is_the_best_so_far(curves: np.ndarray, largest: bool) -> None:
    best = max if largest else min
    expected = [[best(curve[: i + 1]) for i in range(len(curve))] for curve in curves]
    np.testing.assert_array_equal(running_best(curves, largest), expected)


def test_running_best_begins_where_epochs_count() -> None:
    got = running_best([[np.nan, 0.3, np.nan, 0.2]])
    np.testing.assert_array_equal(got, [[np.nan, 0.3, 0.3, 0.3]])
    assert np.isnan(mean_running_best([[np.nan, 0.3], [0.1, 0.2]])[0])


def test_curves_are_averaged_after_their_running_bests() -> None:
    # Running bests .2 .6 .6 .8 and .4 .4 .5 .6.
    curves = np.array([[0.2, 0.6, 0.1, 0.8], [0.4, 0.0, 0.5, 0.6]])
    expected = [0.3, 0.5, 0.55, 0.7]
    np.testing.assert_allclose(mean_running_best(curves), expected)
    np.testing.assert_allclose(mean_running_best([curves, curves[::-1]]), [expected] * 2)
