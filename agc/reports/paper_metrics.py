"""The two numbers of the paper's abstract, as its tables and figures define them.

Neither is about final accuracy. "Up to 5.0 % accuracy" is read as points; it is the mean gap at six
epochs of one training (Table 1; at the last of them the gap is the smallest but one). "Up to 52.1 %
fewer epochs" is the mean over a ladder of accuracy levels of the epochs saved until each is first
reached (Figure 4b; at the top level hardly any are). Both stand here to be compared with the
paper's numbers, beside what two equal arms give: the same number with the labels swapped
(:mod:`agc.reports.swaps`).

Curves of test accuracy are those of runs that measured it after every epoch; ``evaluation.test:
last`` leaves all epochs but the last and the best without one.

Source: Lei, Xu, Zhang, He, Mallick, CPAL 2024, PMLR 234:341-378.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.statistics import Difference, mean_running_best, paired_difference
from agc.reports.swaps import matching_arms

BUDGETS = (0.1, 0.2, 0.35, 0.45, 0.7, 1.0)
"""Where within a training the paper measures, as shares of its epochs."""

LOWEST = 0.68
"""The lowest level, as a share of the plain run's best: 0.60 of 0.88."""

STEP = 0.01
# A level that is 0.68 of the best up to the last bit is one.
ROUNDING = 1e-9


class Reduction(NamedTuple):
    """Mean share of epochs saved over accuracy levels; negative where the correction needs more.

    ``reached`` is over the levels that the corrected arm reaches, as the paper has it: leaving out
    the others favours the correction. ``censored`` has all levels, one that is not reached counting
    as reached in the epoch after the last, which is still the soonest it could have been.
    """

    reached: float
    censored: float
    levels: int
    not_reached: int


def budget_gaps(
    plain: ArrayLike, corrected: ArrayLike, fractions: tuple[float, ...] = BUDGETS
) -> NDArray[np.float64]:
    """Each seed's mean over budgets of corrected minus plain accuracy, [seeds].

    The accuracy is that of the epoch at which a budget ends, within one training: the paper's table
    falls from one budget to the next here and there, so it is not the best so far.

    Args:
        plain: [seeds, epochs] of accuracy.
        corrected: the same seeds in the same order.
        fractions: of the epochs at which the budgets end, rounded to whole epochs, at least one.

    Raises:
        ValueError: shapes do not fit, or a fraction is not above 0 and at most 1.
    """
    one, other = _arms(plain, corrected)
    shares = np.asarray(fractions, dtype=np.float64)
    if not len(shares) or not ((shares > 0) & (shares <= 1)).all():
        raise ValueError(f"fractions {shares.tolist()}: each above 0 and at most 1")
    last = np.maximum(np.round(shares * one.shape[1]).astype(int), 1) - 1
    return (other - one)[:, last].mean(axis=1)


def mean_gap(
    plain: ArrayLike, corrected: ArrayLike, fractions: tuple[float, ...] = BUDGETS
) -> Difference:
    """Mean over seeds of :func:`budget_gaps`, with its t interval."""
    return paired_difference(budget_gaps(plain, corrected, fractions))


def mean_reduction(plain: ArrayLike, corrected: ArrayLike) -> Reduction:
    """Mean over accuracy levels of 1 − corrected epochs / plain epochs to reach the level first.

    Levels go down from the plain arm's best in steps of one point, to 0.68 of it. Both arms are
    averaged over seeds as running bests, so that an arm has reached what it has once had.

    Args:
        plain: [seeds, epochs] of accuracy; NaN marks an epoch that does not count.
        corrected: the same seeds in the same order.

    Raises:
        ValueError: shapes do not fit.
    """
    one, other = _arms(plain, corrected)
    saved, reached = _saved(one, other)
    levels, missed = int((~np.isnan(saved)).sum()), int((~np.isnan(saved) & ~reached).sum())
    kept = saved[reached]
    return Reduction(
        reached=float(kept.mean()) if len(kept) else np.nan,
        censored=float(censored_reduction(one, other)),
        levels=levels,
        not_reached=missed,
    )


def censored_reduction(
    plain: NDArray[np.float64], corrected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``Reduction.censored`` of many pairs of arms at once: [..., seeds, epochs] to [...]."""
    saved, _ = _saved(plain, corrected)
    levels = ~np.isnan(saved)
    count = levels.sum(axis=-1)
    total = np.where(levels, saved, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def reductions_by_seed(plain: ArrayLike, corrected: ArrayLike) -> NDArray[np.float64]:
    """What each seed adds to ``Reduction.censored``, [seeds], to be pooled like differences.

    The reduction is of averaged curves and has no value of a single seed. These are the jackknife's
    influence values around it: their mean is the reduction, and the t interval of their mean is
    the jackknife's (Tukey, Ann. Math. Stat. 29, 1958). With a seed alone there is the number only,
    and none where the reduction, or that without one of the seeds, does not exist.
    """
    one, other = _arms(plain, corrected)
    whole = float(censored_reduction(one, other))
    count = len(one)
    if count < 2 or np.isnan(whole):
        return np.full(1 - int(np.isnan(whole)), whole)
    without = np.array([np.delete(np.arange(count), index) for index in range(count)])
    left = censored_reduction(one[without], other[without])
    if np.isnan(left).any():
        return np.array([])
    return whole + (count - 1) * (left.mean() - left)


def _arms(
    plain: ArrayLike, corrected: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = matching_arms(plain, corrected)
    if one.ndim != 2 or not one.shape[1]:
        raise ValueError(f"curves of shape {one.shape}: they are [seeds, epochs]")
    return one, other


def _saved(
    plain: NDArray[np.float64], corrected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Share of epochs saved at each level, NaN below the lowest, and whether it is reached.

    Curves are [..., seeds, epochs], both results [..., levels].
    """
    one, other = mean_running_best(plain), mean_running_best(corrected)
    best, last = one[..., -1:], other[..., -1:]
    steps = np.floor((1 - LOWEST) * best / STEP + ROUNDING)
    most = int(np.nanmax(steps)) if not np.isnan(steps).all() else 0
    numbers = np.arange(most + 1)
    levels = np.where((numbers <= steps) & ~np.isnan(last), best - STEP * numbers, np.nan)
    saved = 1 - _first(other, levels) / _first(one, levels)
    return np.where(np.isnan(levels), np.nan, saved), levels <= last


def _first(curve: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """First epoch, from 1, at which a running best is at each level; else one more than all."""
    at = curve[..., None, :] >= levels[..., :, None]
    return np.where(at.any(axis=-1), at.argmax(axis=-1) + 1.0, curve.shape[-1] + 1.0)
