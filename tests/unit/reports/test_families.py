"""Families of comparisons against the libraries' own examples and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agc.reports.families import adjusted, expected_best, expected_best_of, many_to_one


def test_holm_multiplies_by_what_is_left() -> None:
    # 0.01 · 4, then 0.02 · 3, 0.03 · 2 and 0.04 · 1, none below the one before.
    np.testing.assert_allclose(adjusted([0.03, 0.01, 0.02, 0.04], "holm"), [0.06, 0.04, 0.06, 0.06])


def test_benjamini_and_hochberg_are_scipys() -> None:
    p = np.random.default_rng(0).uniform(size=20) ** 2
    np.testing.assert_allclose(adjusted(p, "fdr_bh"), stats.false_discovery_control(p))


def test_rows_without_a_test_are_not_in_the_family() -> None:
    got = adjusted([[np.nan, 0.02], [0.04, np.nan]], "holm")
    np.testing.assert_allclose(got, [[np.nan, 0.04], [0.04, np.nan]])
    assert np.isnan(adjusted([np.nan], "fdr_bh")).all()
    assert adjusted([], "holm").shape == (0,)


def test_adjusting_leaves_what_it_was_given() -> None:
    p = np.array([0.01, 0.02])
    adjusted(p, "holm")
    np.testing.assert_array_equal(p, [0.01, 0.02])


def test_bad_families_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'bonferroni': holm or fdr_bh"):
        adjusted([0.1], "bonferroni")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjusted([1.2], "holm")


def test_dunnetts_own_example() -> None:
    """Blood counts of Dunnett, 1955, with the p-values that scipy's documentation prints."""
    control = [7.40, 8.50, 7.20, 8.24, 9.84, 8.32]
    arms = {"a": [9.76, 8.80, 7.68, 9.36, np.nan], "b": [12.80, 9.68, 12.16, 9.20, 10.55]}
    got = many_to_one(arms, control)
    assert [got[name].p for name in "ab"] == pytest.approx([0.6201, 0.0058], abs=5e-4)
    assert got["a"].difference == pytest.approx(8.9 - 8.25)
    assert got["a"].n == 4
    # Dunnett prints -1.3 to 2.6 and 0.9 to 4.4; rounded there, and from a table.
    assert (got["b"].low, got["b"].high) == pytest.approx((0.9, 4.4), abs=0.25)
    assert got == many_to_one(arms, control)


def test_one_arm_is_a_t_test() -> None:
    arm, control = np.random.default_rng(0).normal(size=(2, 6))
    oracle = stats.ttest_ind(arm, control)
    got = many_to_one({"arm": arm}, control)["arm"]
    assert got.p == pytest.approx(oracle.pvalue, abs=1e-3)
    assert (got.low, got.high) == pytest.approx(tuple(oracle.confidence_interval()), abs=0.01)


def test_arms_need_a_spread() -> None:
    with pytest.raises(ValueError, match="few: 1 results"):
        many_to_one({"few": [1.0, np.nan]}, [1.0, 2.0])
    with pytest.raises(ValueError, match="control: 0 results"):
        many_to_one({"arm": [1.0, 2.0]}, [])
    assert many_to_one({}, [1.0, 2.0]) == {}


def test_expected_best_in_closed_form() -> None:
    assert expected_best(1, 2.0, 4) == pytest.approx((0, stats.norm.ppf(0.95)))
    assert expected_best(2, 1.0, 1).mean == pytest.approx(1 / np.sqrt(np.pi))
    assert expected_best(3, 1.0, 1).mean == pytest.approx(3 / (2 * np.sqrt(np.pi)))
    with pytest.raises(ValueError, match="0 rows"):
        expected_best(0, 1.0, 3)


def test_the_best_of_seven_rows_of_three_pairs() -> None:
    """With the spread of the digits: what "at best +0.65" has to be held against."""
    assert expected_best(7, 0.95, 3) == pytest.approx((0.74, 1.34), abs=0.005)


def test_the_best_of_rows_that_are_not_alike() -> None:
    # The larger of two: the mean of |x - y| / 2, and x - y has the variance 9 + 16.
    assert expected_best_of([3.0, 4.0]).mean == pytest.approx(5 / np.sqrt(2 * np.pi))
    assert expected_best_of([1.0, 1e-9]).quantile == pytest.approx(stats.norm.ppf(0.95))
    assert expected_best_of([0.5] * 7) == pytest.approx(expected_best(7, 1.0, 4))
    assert expected_best_of([2.0, np.nan, 0.0]) == expected_best_of([2.0])
    assert np.isnan(expected_best_of([np.nan])).all()


@pytest.mark.slow
@pytest.mark.parametrize("k", [7, 28])
def test_simulated_best_of_rows(k: int) -> None:
    rng = np.random.default_rng(k)
    best = rng.normal(0, 0.95, (2_000, k, 3)).mean(axis=2).max(axis=1)
    expected = expected_best(k, 0.95, 3)
    over = np.mean(best > expected.quantile)
    print(f"k {k}: mean {best.mean():.4f} for {expected.mean:.4f}, above the quantile {over:.4f}")
    assert best.mean() == pytest.approx(expected.mean, abs=4 * best.std() / np.sqrt(2_000))
    assert over == pytest.approx(0.05, abs=0.0195)


def test_the_row_farthest_from_0_on_either_side() -> None:
    # E|N(0, 1)| = √(2 / π), and 1.96 is where 95 % of |N(0, 1)| end.
    one = expected_best_of([1.0], either_side=True)
    assert one == pytest.approx((np.sqrt(2 / np.pi), stats.norm.ppf(0.975)))
    several = expected_best_of([1.0, 0.5, 2.0], either_side=True)
    draws = np.random.default_rng(0).normal(size=(100_000, 3)) * [1.0, 0.5, 2.0]
    assert several.mean == pytest.approx(np.abs(draws).max(axis=1).mean(), rel=0.01)
