"""Epochs to equal error, from trainings that were each planned for their number of epochs.

The crossing of two curves of one training is decided by where its learning rate drops, and a
target taken from the plain runs is beaten by luck. Here both arms are trained at several budgets,
each with a schedule of its own, and the error at the end is read as a function of the budget. The
ratio ρ of the epochs at which two such functions have the same error is 1 for equal arms, and below
1 where the correction needs fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.rows import smallest_detectable
from agc.reports.statistics import CONFIDENCE, ROUNDING

DRAWS = 2_000
LEVELS = 64
"""Errors at which the arms are compared."""


class Rungs(NamedTuple):
    """One arm: final errors of [seeds, budgets] and the [budgets] in epochs.

    NaN marks a training without a result; budgets stand in any order, each once.
    """

    budgets: ArrayLike
    errors: ArrayLike


@dataclass(frozen=True)
class Ladder:
    """Ratio of epochs to equal error, corrected to plain, with 95 % and 90 % intervals.

    NaN: there is none. An interval ends at 0 or infinity where, in more draws than it may leave
    out, all errors of one arm were below all of the other's.

    Attributes:
        overlap: lowest and highest error that both arms reach; NaN where there is none.
        share: of bootstrap draws, those in which the arms share an error.
        detectable: ratio below 1 that would be found four times in five.
    """

    ratio: float
    low: float
    high: float
    low90: float
    high90: float
    detectable: float
    overlap: tuple[float, float]
    share: float
    seeds: int

    def in_units(self, plain: float, corrected: float) -> Ladder:
        """The same ratio of gradient evaluations, given both arms' units per epoch.

        Raises:
            ValueError: an epoch costs nothing.
        """
        if not plain > 0 or not corrected > 0:
            raise ValueError(f"{plain} and {corrected} units per epoch: more than 0")
        times = corrected / plain
        scaled = {
            key: getattr(self, key) * times for key in ("ratio", "low", "high", "low90", "high90")
        }
        return replace(self, **scaled)


def ladder(plain: Rungs, corrected: Rungs, seed: int = 0, draws: int = DRAWS) -> Ladder:
    """Compare two arms' errors over budgets.

    The arms' mean errors are made monotone (isotonic regression: more epochs are no worse) and
    read linearly in the logarithm of the epochs. ρ is the geometric mean of the ratio over errors
    evenly spaced between the lowest and the highest that both arms reach: nothing is extrapolated.

    The interval is log ρ ± t times its standard error, which is the spread of the bootstrap over
    whole seeds (the runs of a seed share their draws) times √(n / (n − 1)). In simulations of four
    and five budgets it covers 94 to 97 % for three to ten seeds; the bootstrap's percentiles cover
    77 % for three, as so few seeds have no other tails to draw from (Hesterberg, Am. Stat. 69,
    2015). Draws in which the arms share no error say that ρ is out of reach, not how far.

    Args:
        plain: the uncorrected arm.
        corrected: the same seeds in the same order; budgets may differ.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        ValueError: shapes do not fit, budgets repeat or are not positive, or a budget has no
            result.
    """
    return pooled_ladder([(plain, corrected)], seed, draws)


def pooled_ladder(rows: Sequence[tuple[Rungs, Rungs]], seed: int = 0, draws: int = DRAWS) -> Ladder:
    """Geometric mean of the ratios of several rows, such as methods × sparsities.

    Each row counts the same, and a draw has the same seeds in all rows: runs of a seed share its
    draws (and its images, where it splits them) across rows, which a pool of rows that were
    independent would take for so many witnesses more. For that t keeps the degrees of freedom of
    the seeds; in simulations of four rows it covers 99 % for three, 96 % for ten. A row whose arms
    share no error leaves no ratio. Several rows have no one overlap.

    Args:
        rows: plain and corrected arm of each row, all of the same seeds in the same order.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        ValueError: as :func:`ladder`, or there is no row.
    """
    arms = [(_arm("plain", plain), _arm("corrected", other)) for plain, other in rows]
    counts = [len(errors) for pair in arms for _, errors in pair]
    if len(set(counts)) != 1:
        raise ValueError(f"rows of {counts} seeds: the same ones, plain and corrected in turn")
    seeds = counts[0]
    # How often each draw has each seed; before them the seeds as they are.
    rng = np.random.default_rng(seed)
    times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    times = np.concatenate([np.ones((1, seeds), dtype=times.dtype), times])
    ratios, overlaps = [], []
    for pair in arms:
        fits = [_fits(budgets, errors, times) for budgets, errors in pair]
        compared = [_log_ratio(one, other) for one, other in zip(*fits, strict=True)]
        ratios.append([drawn for drawn, _ in compared])
        overlaps.append(compared[0][1])
    # Rows that are out of reach on both sides make a NaN, which is what is meant.
    with np.errstate(invalid="ignore"):
        log_ratio, *found = np.mean(ratios, axis=0)
    overlap = overlaps[0] if len(rows) == 1 else (np.nan, np.nan)
    return _summary(float(log_ratio), np.array(found), seeds, overlap)


def _summary(
    log_ratio: float, found: NDArray[np.float64], seeds: int, overlap: tuple[float, float]
) -> Ladder:
    """The ladder of a logarithm of ρ and its bootstrap draws."""
    shared = np.isfinite(found)
    spread = np.nan
    # One seed has no spread, nor have seeds that all say the same.
    if seeds > 1 and shared.sum() > 1 and np.ptp(found[shared]) > ROUNDING:
        spread = float(np.std(found[shared], ddof=1) * np.sqrt(seeds / (seeds - 1)))
    limits = [
        _end(log_ratio, spread, found, seeds, confidence, side)
        for confidence in (CONFIDENCE, 0.9)
        for side in (-1, 1)
    ]
    low, high, low90, high90 = np.exp(limits).tolist()
    return Ladder(
        ratio=float(np.exp(log_ratio)) if np.isfinite(log_ratio) else np.nan,
        low=low,
        high=high,
        low90=low90,
        high90=high90,
        detectable=float(np.exp(-smallest_detectable(spread, seeds - 1))),
        overlap=overlap,
        share=float(shared.mean()),
        seeds=seeds,
    )


class _Fit(NamedTuple):
    """Monotone errors, ascending, and the logarithm of the epochs that reach each first."""

    errors: NDArray[np.float64]
    epochs: NDArray[np.float64]


def _arm(name: str, rungs: Rungs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[budgets], ascending, and [seeds, budgets]."""
    budgets = np.asarray(rungs.budgets, dtype=np.float64)
    errors = np.asarray(rungs.errors, dtype=np.float64)
    if budgets.ndim != 1 or errors.ndim != 2 or errors.shape[1] != len(budgets):
        raise ValueError(
            f"{name}: errors of shape {errors.shape} for {budgets.size} budgets; they are"
            " [seeds, budgets]"
        )
    if len(np.unique(budgets)) != len(budgets) or len(budgets) < 2 or not (budgets > 0).all():
        raise ValueError(f"{name}: budgets {budgets.tolist()}; two or more, each once, above 0")
    empty = budgets[np.isnan(errors).all(axis=0)]
    if len(empty):
        raise ValueError(f"{name}: no result at a budget of {empty[0]:g} epochs")
    order = np.argsort(budgets)
    return budgets[order], errors[:, order]


def _fits(
    budgets: NDArray[np.float64], errors: NDArray[np.float64], times: NDArray[np.int64]
) -> list[_Fit]:
    """For each draw of [draws, seeds] the fit of its mean errors; a budget of which a draw has no
    run is left out of it.
    """
    counts = times @ ~np.isnan(errors)
    sums = times @ np.nan_to_num(errors)
    fits = []
    for total, count in zip(sums, counts, strict=True):
        there = count > 0
        means = _falling(total[there] / count[there], count[there])
        fits.append(_Fit(means[::-1], np.log(budgets[there])[::-1]))
    return fits


def _falling(means: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Isotonic regression; most draws are monotone as they are and need none."""
    if (np.diff(means) <= 0).all():
        return means
    from sklearn.isotonic import isotonic_regression

    return isotonic_regression(means, sample_weight=weights, increasing=False)


def _log_ratio(plain: _Fit, corrected: _Fit) -> tuple[float, tuple[float, float]]:
    """Logarithm of ρ and the overlap; ±infinity where one arm is better throughout, and NaN where
    an arm that more epochs do not improve has its one error among the other's.
    """
    low = max(plain.errors[0], corrected.errors[0])
    high = min(plain.errors[-1], corrected.errors[-1])
    if not low < high:
        sides = corrected.errors[-1] < plain.errors[0], plain.errors[-1] < corrected.errors[0]
        unknown = -np.inf if sides[0] else np.inf if sides[1] else np.nan
        return unknown, (np.nan, np.nan)
    # Middles of equal parts: at the very ends an arm may stand still.
    levels = low + (high - low) * (np.arange(LEVELS) + 0.5) / LEVELS
    gaps = np.interp(levels, *corrected) - np.interp(levels, *plain)
    return float(gaps.mean()), (float(low), float(high))


def _end(
    log_ratio: float,
    spread: float,
    found: NDArray[np.float64],
    seeds: int,
    confidence: float,
    side: int,
) -> float:
    """An end of the interval of log ρ; infinite if too many draws are out of reach on its side."""
    from scipy.stats import t

    if not np.isfinite(log_ratio) or not np.isfinite(spread):
        return np.nan
    beyond = np.isnan(found) | (found == side * np.inf)
    if beyond.mean() > (1 - confidence) / 2:
        return side * np.inf
    return float(log_ratio + side * t.ppf(0.5 + confidence / 2, seeds - 1) * spread)
