"""The two numbers of the paper's abstract, as its tables and figures define them.

Neither is about final accuracy. "Up to 5.0 % accuracy" is the mean gap at six epochs of one
training (Table 1), "up to 52.1 % fewer epochs" the mean over a ladder of accuracy levels of the
epochs saved until each is first reached (Figure 4b). Both stand here to be compared with the
paper's numbers, beside what two equal arms give: :func:`agc.reports.swaps.swap_test` of either.

Curves of test accuracy are those of runs that measured it after every epoch; ``evaluation.test:
last`` leaves all epochs but the last and the best without one.

Source: Lei, Xu, Zhang, He, Mallick, CPAL 2024, PMLR 234:341-378.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.headline import BUDGETS, LOWEST
from agc.reports.statistics import Difference, mean_running_best, paired_difference
from agc.reports.swaps import matching_arms

STEP = 0.01


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


def mean_gap(
    plain: ArrayLike, corrected: ArrayLike, fractions: tuple[float, ...] = BUDGETS
) -> Difference:
    """Mean over budgets of corrected minus plain accuracy, with the t interval of the seeds.

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
    return paired_difference((other - one)[:, last].mean(axis=1))


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
    one, other = (mean_running_best(arm) for arm in _arms(plain, corrected))
    best = one[-1]
    if np.isnan([best, other[-1]]).any():
        return Reduction(np.nan, np.nan, 0, 0)
    # A level that is 0.68 of the best up to the last bit is one.
    steps = np.floor((1 - LOWEST) * best / STEP + 1e-9)
    levels = best - STEP * np.arange(steps + 1)
    saved = 1 - _first(other, levels) / _first(one, levels)
    reached = levels <= other[-1]
    return Reduction(
        reached=float(saved[reached].mean()) if reached.any() else np.nan,
        censored=float(saved.mean()),
        levels=len(levels),
        not_reached=int((~reached).sum()),
    )


def _arms(
    plain: ArrayLike, corrected: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = matching_arms(plain, corrected)
    if one.ndim != 2 or not one.shape[1]:
        raise ValueError(f"curves of shape {one.shape}: they are [seeds, epochs]")
    return one, other


def _first(curve: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """First epoch, from 1, at which a running best is at each level; else one more than all."""
    at = curve[None, :] >= levels[:, None]
    return np.where(at.any(axis=1), at.argmax(axis=1) + 1.0, len(curve) + 1.0)
