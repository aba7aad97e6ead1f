"""Swapped labels against what can be counted by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from agc.reports.swaps import (
    EXACT_UP_TO,
    labellings,
    pooled_against_labellings,
    sign_flip_p,
    swap_test,
    swapped_values,
)


def test_all_labellings_once_and_the_one_at_hand_first() -> None:
    found = labellings(3)
    assert not found[0].any()
    assert {tuple(row) for row in found} == set(product([False, True], repeat=3))
    assert labellings(EXACT_UP_TO).shape == (4096, EXACT_UP_TO)


def test_many_labellings_are_drawn_and_the_same_for_the_same_seed() -> None:
    found = labellings(EXACT_UP_TO + 1, seed=3)
    assert not found[0].any()
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(found, labellings(EXACT_UP_TO + 1, seed=3))
    assert (found != labellings(EXACT_UP_TO + 1, seed=4)).any()


@pytest.mark.parametrize("n", [2, 5, 9])
def test_flipped_signs_are_counted_out(n: int) -> None:
    terms = np.random.default_rng(n).normal(0.5, 1, n)
    sums = np.array([np.dot(signs, terms) for signs in product([1, -1], repeat=n)])
    expected = np.mean(np.abs(sums) >= abs(terms.sum()) - 1e-9)
    assert sign_flip_p(terms) == pytest.approx(expected)


def test_agreeing_signs_have_the_least_p_that_there_is() -> None:
    assert sign_flip_p([0.1, 0.2, 0.4]) == 2 / 2**3
    assert sign_flip_p([0.1, np.nan]) == 1.0
    assert np.isnan(sign_flip_p([np.nan]))


def test_many_flips_are_drawn_by_the_seed() -> None:
    terms = np.random.default_rng(0).normal(0.3, 1, 30)
    assert sign_flip_p(terms, seed=1) == sign_flip_p(terms, seed=1)
    assert sign_flip_p(terms, seed=1) == pytest.approx(sign_flip_p(terms, seed=2), abs=0.02)


def test_a_mean_difference_swapped_is_a_flipped_sign() -> None:
    plain, corrected = np.random.default_rng(1).normal(size=(2, 8))
    got = swap_test(lambda one, other: float(np.mean(other - one)), plain, corrected)
    assert got.value == pytest.approx(np.mean(corrected - plain))
    assert got.p == pytest.approx(sign_flip_p(corrected - plain))
    assert got.null_mean == pytest.approx(0, abs=1e-12)
    assert got.labellings == 2**8


def test_a_number_that_favours_one_arm_has_a_null_of_its_own() -> None:
    """The largest of the plain arm is the target: other arms fall short of it by rule."""
    plain, corrected = [0.0, 2.0], [1.0, 1.0]
    got = swap_test(lambda one, other: float(other.max() - one.max()), plain, corrected)
    # Labellings: (0,2 | 1,1), (1,2 | 0,1), (0,1 | 1,2), (1,1 | 0,2).
    assert (got.value, got.null_mean, got.p) == (-1.0, 0.0, 1.0)
    assert (got.null_low, got.null_high) == (-1.0, 1.0)


def test_labellings_without_a_number_are_left_out() -> None:
    def gain(one: np.ndarray, other: np.ndarray) -> float:
        return 1.0 if other[0] > one[0] else float("nan")

    got = swap_test(gain, [1.0, 1.0], [2.0, 2.0])
    assert (got.value, got.labellings, got.p) == (1.0, 2, 1.0)
    got = swap_test(gain, [2.0], [1.0])
    assert np.isnan([got.value, got.p, got.null_mean]).all()


def test_arms_need_the_same_seeds() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        swap_test(lambda one, other: 0.0, [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        swap_test(lambda one, other: 0.0, [], [])


def test_rows_are_swapped_each_by_itself() -> None:
    """Of mean differences it is the flip of all signs, counted out and drawn."""

    def gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (other - one).mean(axis=-1)

    rng = np.random.default_rng(3)
    for pairs, tolerance in ((4, 1e-12), (6, 0.015)):
        arms = rng.normal(size=(3, 2, pairs))
        arms[:, 1] += 0.4
        rows = [swapped_values(gap, *pair) for pair in arms]
        got = pooled_against_labellings([*rows, np.array([np.nan])])
        terms = (arms[:, 1] - arms[:, 0]) / pairs / 3
        assert got.value == pytest.approx(terms.sum())
        assert got.null_mean == pytest.approx(0, abs=1e-12)
        assert got.p == pytest.approx(sign_flip_p(terms), abs=tolerance)
    assert np.isnan(pooled_against_labellings([]).value)
