"""The ratio of epochs to equal error against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from agc.reports.ladder import Ladder, Rungs, ladder

BUDGETS = [5, 10, 20, 40]


def errors_at(epochs: np.ndarray) -> np.ndarray:
    """Points of error after so many epochs, as Fashion-MNIST has it: 1.2 for each e-fold."""
    return 12 - 1.2 * np.log(epochs)


def arms(ratio: float, seeds: int, sd: float, seed: int = 0) -> tuple[Rungs, Rungs]:
    """Plain at one budget more, corrected at ``ratio`` times plain's epochs to equal error."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.3, (seeds, 1))
    more = np.array([*BUDGETS, 80.0])
    plain = errors_at(more) + common + rng.normal(0, sd, (seeds, 5))
    corrected = errors_at(np.array(BUDGETS) / ratio) + common + rng.normal(0, sd, (seeds, 4))
    return Rungs(more, plain), Rungs(BUDGETS, corrected)


@pytest.mark.parametrize("curve", [errors_at, lambda e: 40 / e, lambda e: np.exp(-e / 30)])
def test_the_error_of_twice_the_epochs_is_half_the_epochs(curve) -> None:
    plain = Rungs([5, 10, 20, 40, 80], curve(np.array([[5, 10, 20, 40, 80.0]])))
    corrected = Rungs(BUDGETS, curve(np.array([[10, 20, 40, 80.0]])))
    assert ladder(plain, corrected).ratio == pytest.approx(0.5)
    assert ladder(corrected, plain).ratio == pytest.approx(2)


@pytest.mark.parametrize("ratio", [0.3, 0.479, 0.8, 1.0, 1.7])
def test_any_ratio_is_exact_for_errors_linear_in_log_epochs(ratio: float) -> None:
    got = ladder(*arms(ratio, 3, 0.0))
    assert got.ratio == pytest.approx(ratio)
    assert got.share == 1


def test_equal_arms_need_equal_epochs() -> None:
    rung = Rungs(BUDGETS, np.random.default_rng(0).normal([[9, 8, 7, 6]], 0.5, (5, 4)))
    got = ladder(rung, rung)
    assert got.ratio == pytest.approx(1)
    assert np.isnan([got.low, got.high]).all()  # Every draw says 1: no spread is known.


def test_only_errors_that_both_reach_count() -> None:
    plain = Rungs([10, 100], [[0.4, 0.2]])
    corrected = Rungs([10, 100], [[0.3, 0.1]])
    got = ladder(plain, corrected)
    assert got.overlap == pytest.approx((0.2, 0.3))
    # Half a decade earlier throughout.
    assert got.ratio == pytest.approx(10**-0.5)


@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_arms_that_share_no_error_have_no_ratio(shift: float) -> None:
    plain = np.array([[0.4, 0.2], [0.41, 0.21]])
    got = ladder(Rungs([10, 20], plain), Rungs([10, 20], plain + shift))
    assert np.isnan([got.ratio, got.low, got.high, *got.overlap]).all()
    assert got.share == 0


def test_draws_without_an_overlap_open_the_interval_on_their_side() -> None:
    """Of two seeds only one ever overlaps: a quarter of the draws has none."""
    plain = np.array([[0.4, 0.2], [0.4, 0.2]])
    better = plain - [[0.1], [0.25]]
    got = ladder(Rungs([10, 20], plain), Rungs([10, 20], better))
    assert got.share == pytest.approx(0.75, abs=0.05)
    assert got.low == got.low90 == 0
    assert got.ratio < got.high < np.inf
    worse = ladder(Rungs([10, 20], better), Rungs([10, 20], plain))
    assert worse.high == worse.high90 == np.inf
    assert worse.ratio == pytest.approx(1 / got.ratio)


def test_an_arm_that_epochs_do_not_improve_is_made_flat() -> None:
    """Rising errors are averaged, and reached at the first budget that has them."""
    plain = Rungs([1, 10, 100], [[0.4, 0.1, 0.3]])
    got = ladder(plain, Rungs([1, 10], [[0.4, 0.2]]))
    assert got.overlap == pytest.approx((0.2, 0.4))
    assert got.ratio == pytest.approx(1)
    flat = ladder(Rungs([1, 10], [[0.2, 0.4]]), Rungs([1, 10], [[0.4, 0.2]]))
    assert np.isnan(flat.ratio)
    assert flat.share == 0


def test_missing_runs_are_left_out_of_their_budgets_mean() -> None:
    plain = Rungs([10, 100], [[0.4, 0.2], [np.nan, 0.2]])
    corrected = Rungs([100, 10], [[0.1, 0.3], [0.1, 0.3]])
    assert ladder(plain, corrected).ratio == pytest.approx(10**-0.5)


def test_units_are_epochs_times_what_an_epoch_costs() -> None:
    got = ladder(*arms(0.479, 10, 0.4))
    units = got.in_units(plain=3, corrected=10)
    assert isinstance(units, Ladder)
    assert units.ratio == pytest.approx(got.ratio * 10 / 3)
    assert (units.low / got.low, units.high90 / got.high90) == pytest.approx((10 / 3, 10 / 3))
    assert units.overlap == got.overlap
    with pytest.raises(ValueError, match="units per epoch"):
        got.in_units(0, 10)


def test_intervals_nest_and_depend_on_the_seed_alone() -> None:
    got = ladder(*arms(0.5, 10, 0.45), seed=3)
    assert got.low < got.low90 < got.ratio < got.high90 < got.high
    assert got == ladder(*arms(0.5, 10, 0.45), seed=3)
    assert got != ladder(*arms(0.5, 10, 0.45), seed=4)
    assert 0 < got.detectable < 1
    once = ladder(*arms(0.5, 1, 0.45))
    assert np.isfinite(once.ratio)
    assert np.isnan([once.low, once.detectable]).all()


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (Rungs([5, 10], [[1.0, 2.0, 3.0]]), r"plain: errors of shape \(1, 3\) for 2 budgets"),
        (Rungs([5, 5], [[1.0, 2.0]]), "each once"),
        (Rungs([0, 5], [[1.0, 2.0]]), "above 0"),
        (Rungs([5], [[1.0]]), "two or more"),
        (Rungs([5, 10], [[1.0, np.nan]]), "no result at a budget of 10 epochs"),
        (Rungs([5, 10], [[2.0, 1.0], [2.0, 1.0]]), r"rows of \[2, 1\] seeds"),
    ],
)
def test_rungs_that_do_not_fit_are_refused(plain: Rungs, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ladder(plain, Rungs([5, 10], [[2.0, 1.0]]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "seeds", "sd"),
    [(1, 10, 0.45), (0.5, 10, 0.45), (1, 10, 0.9), (1, 5, 0.45), (1, 3, 0.45)],
)
def test_simulated_coverage(ratio: float, seeds: int, sd: float) -> None:
    """The spread of seeds is that of Fashion-MNIST, or twice that."""
    found = [
        ladder(*arms(ratio, seeds, sd, seed=draw), seed=draw, draws=200) for draw in range(2_000)
    ]
    covered = np.mean([one.low <= ratio <= one.high for one in found])
    covered90 = np.mean([one.low90 <= ratio <= one.high90 for one in found])
    bias = np.mean([np.log(one.ratio / ratio) for one in found])
    width = np.median([one.high / one.low for one in found])
    print(
        f"ratio {ratio}, {seeds} seeds, sd {sd}: 95 % {covered:.4f}, 90 % {covered90:.4f},"
        f" bias of log {bias:+.4f}, median high/low {width:.2f}"
    )
    assert 0.935 <= covered <= 0.985
    assert 0.885 <= covered90 <= 0.965
    assert abs(bias) < 0.06
