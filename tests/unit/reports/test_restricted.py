"""Restricted mean epochs against counting by hand, and their p under the null."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from agc.reports.restricted import (
    reached_shares,
    restricted_time,
    share_of_final,
    swapped_times,
    time_differences,
)


def curves(times: list[int], epochs: int = 6) -> np.ndarray:
    """Runs that reach 0.9 at the given epoch and fall back after it; 0: never."""
    table = np.full((len(times), epochs), 0.5)
    for run, time in zip(table, times, strict=True):
        if time:
            run[time - 1] = 0.9
    return table


def test_a_run_that_never_reaches_counts_with_the_horizon() -> None:
    got = restricted_time(curves([2, 3, 0, 4]), curves([1, 3, 5, 0]), target=0.9)
    assert (got.plain, got.corrected) == ((2 + 3 + 6 + 4) / 4, (1 + 3 + 5 + 6) / 4)
    assert got.difference == pytest.approx(0)
    assert (got.reached_plain, got.reached_corrected) == (0.75, 0.75)
    assert (got.horizon, got.n, got.target) == (6, 4, 0.9)


def test_the_difference_has_the_t_interval_of_pairs() -> None:
    plain, corrected = [5, 4, 6, 5, 3], [3, 3, 2, 4, 3]
    got = restricted_time(curves(plain), curves(corrected), target=0.9)
    oracle = stats.ttest_rel(corrected, plain)
    assert (got.low, got.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert (got.low90, got.high90) == pytest.approx(tuple(oracle.confidence_interval(0.90)))
    assert got.mde > got.high - got.difference
    same = restricted_time(curves([3, 3]), curves([2, 2]), target=0.9)
    assert same.difference == -1
    assert np.isnan([same.low, same.high, same.mde]).all()


def test_swapped_labels_are_counted_out() -> None:
    plain, corrected = np.array([5, 4, 6, 5, 3]), np.array([3, 3, 2, 6, 3])
    gaps = corrected - plain
    sums = np.array([np.dot(signs, gaps) for signs in product([1, -1], repeat=5)])
    expected = np.mean(np.abs(sums) >= abs(gaps.sum()))
    got = restricted_time(curves(plain.tolist()), curves(corrected.tolist()), target=0.9)
    assert got.swap_p == pytest.approx(expected)


def test_a_horizon_cuts_all_runs_off() -> None:
    got = restricted_time(curves([2, 5]), curves([3, 4]), target=0.9, horizon=3)
    assert (got.plain, got.corrected) == (2.5, 3)
    assert (got.reached_plain, got.reached_corrected) == (0.5, 0.5)


def test_losses_go_down_and_epochs_that_do_not_count_are_passed_over() -> None:
    plain = [[np.nan, 2.0, 1.0, 0.5], [3.0, 0.9, 2.0, 0.7]]
    corrected = [[0.5, 2.0, 2.0, 2.0], [np.nan, np.nan, 2.0, 2.0]]
    got = restricted_time(plain, corrected, target=1.0, largest=False)
    assert (got.plain, got.corrected) == ((3 + 2) / 2, (1 + 4) / 2)
    assert got.reached_corrected == 0.5


def test_a_target_of_the_plain_arm_moves_with_the_label() -> None:
    rng = np.random.default_rng(0)
    plain, corrected = np.sort(rng.uniform(0.5, 1, (2, 4, 6)), axis=2)
    got = restricted_time(plain, corrected, share_of_final(0.95))
    assert got.target == pytest.approx(0.95 * plain[:, -1].mean())
    fixed = restricted_time(plain, corrected, got.target)
    assert fixed[:-3] == got[:-3]
    assert fixed.null == 0

    def gap(one: np.ndarray, other: np.ndarray) -> float:
        goal = 0.95 * one[:, -1].mean()
        first, second = ([*(arm >= goal).T, np.ones(4, bool)] for arm in (one, other))
        counted = [np.minimum(np.argmax(arm, axis=0) + 1, 6).mean() for arm in (first, second)]
        return counted[1] - counted[0]

    gaps = []
    for swap in product([False, True], repeat=4):
        mask = np.array(swap)[:, None]
        gaps.append(gap(np.where(mask, corrected, plain), np.where(mask, plain, corrected)))
    assert got.null == pytest.approx(np.mean(gaps))
    far = np.abs(np.array(gaps) - np.mean(gaps))
    assert got.swap_p == pytest.approx(np.mean(far >= far[0] - 1e-9))


def test_bad_curves_and_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="the same seeds"):
        restricted_time(curves([1]), curves([1, 2]), 0.9)
    with pytest.raises(ValueError, match=r"\[seeds, epochs\]"):
        restricted_time([1.0], [1.0], 0.9)
    with pytest.raises(ValueError, match="a horizon of 7 epochs for curves of 6"):
        restricted_time(curves([1]), curves([1]), 0.9, horizon=7)
    with pytest.raises(ValueError, match="not a number"):
        restricted_time(curves([1]), curves([1]), float("nan"))


def noisy_curves(rng: np.random.Generator, seeds: int, epochs: int = 20) -> np.ndarray:
    """Validation accuracy of a training with one drop of the learning rate, [seeds, epochs]."""
    time = np.arange(1, epochs + 1) / epochs
    noise = np.where(time > 0.5, 0.006, 0.03)
    rise = 0.95 - 0.4 * np.exp(-6 * time) + 0.02 * (time > 0.5)
    return rise + rng.normal(0, 0.006, (seeds, 1)) + rng.normal(0, noise, (seeds, epochs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "epochs", "target", "few_ties"),
    [
        (7, 20, 0.955, False),
        (10, 20, 0.955, False),
        (10, 2_000, 0.92, True),
        (13, 200, 0.92, False),
        (7, 20, share_of_final(0.99), False),
    ],
)
def test_simulated_p_under_the_null(seeds: int, epochs: int, target, few_ties: bool) -> None:
    """Uniform where times are fine, and where they tie less often small than its level says."""
    rng = np.random.default_rng(0)
    found = [
        restricted_time(
            noisy_curves(rng, seeds, epochs), noisy_curves(rng, seeds, epochs), target, seed=draw
        )
        for draw in range(2_000)
    ]
    levels = np.array([0.05, 0.1, 0.2, 0.5, 0.8])
    sizes = np.array([np.mean([one.swap_p <= level for one in found]) for level in levels])
    bias, null = (np.mean([getattr(one, key) for one in found]) for key in ("difference", "null"))
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    print(
        f"{seeds} seeds, {epochs} epochs: p at or below {levels.tolist()} in"
        f" {sizes.round(3).tolist()}; mean difference {bias:+.3f}, of swapped labels {null:+.3f};"
        f" interval covers 0 in {covered:.3f}"
    )
    error = 4 * np.sqrt(levels * (1 - levels) / 2_000)
    assert (sizes <= levels + error).all()
    assert null == pytest.approx(bias, abs=4 * np.std([one.difference for one in found]) / 44)
    if few_ties:
        assert (sizes >= levels - error).all()


def test_many_pairs_of_arms_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    arms = rng.random((5, 2, 3, 8))
    got = time_differences(arms[:, 0], arms[:, 1], share_of_final(0.99))
    for pair, own in zip(arms, got, strict=True):
        alone = restricted_time(*pair, share_of_final(0.99))
        assert own.mean() == pytest.approx(alone.difference)
        shares = reached_shares(*pair, share_of_final(0.99))
        assert shares == (alone.reached_plain, alone.reached_corrected)
        assert swapped_times(*pair, share_of_final(0.99)).mean() == pytest.approx(alone.null)


def test_a_target_is_not_missed_by_the_last_bit_of_its_mean() -> None:
    """The mean of equal accuracies is above them for some numbers of seeds."""
    plain = np.array([[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]])
    assert plain[:, -1].mean() > 0.1
    assert restricted_time(plain, plain, share_of_final(1.0)).reached_plain == 1
