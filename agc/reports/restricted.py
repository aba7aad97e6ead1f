"""When runs reach a fixed accuracy, with those that never do counted and not left out.

A mean over the runs that reach a target says less the more of them fail. The restricted mean
counts each run up to a horizon: as many epochs as it needs, or the whole horizon (Royston and
Parmar, Stat. Med. 30, 2011). All runs are followed to the horizon, so that no other censoring has
to be modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.rows import smallest_detectable
from agc.reports.statistics import ROUNDING, paired_difference, running_best, summarize
from agc.reports.swaps import against_labellings, matching_arms, sign_flip_p, swapped_values

Target = float | Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A value, or what makes one of the plain arm's curves: [..., seeds, epochs] to [...]."""


class Restricted(NamedTuple):
    """Restricted mean epochs to a target, and the difference, corrected minus plain.

    ``low`` and ``high`` are the 95 %, ``low90`` and ``high90`` the 90 % t interval of the paired
    differences, and ``mde`` the difference that it finds four times in five; NaN: there is none.
    ``null`` is the difference of two equal arms: not 0 where the target is made of the plain runs.
    ``swap_p`` is exact up to 12 seeds. ``reached_*`` are the shares of runs that reach the target.
    """

    target: float
    horizon: int
    plain: float
    corrected: float
    difference: float
    low: float
    high: float
    low90: float
    high90: float
    mde: float
    reached_plain: float
    reached_corrected: float
    null: float
    swap_p: float
    n: int


def share_of_final(share: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Target that is a share of the plain runs' mean final value, such as 0.99 of an accuracy."""
    return lambda plain: share * np.mean(plain[..., -1], axis=-1)


def time_differences(
    plain: ArrayLike,
    corrected: ArrayLike,
    target: Target,
    horizon: int | None = None,
    largest: bool = True,
) -> NDArray[np.float64]:
    """Epochs to a target of each corrected run minus those of the plain run of its seed.

    Args:
        plain: [..., seeds, epochs] of raw values; NaN marks an epoch that does not count.
        corrected: the same seeds in the same order.
        target: the value to reach, or :func:`share_of_final`.
        horizon: epochs after which a run is no longer followed; all of them by default.
        largest: whether larger is better (accuracy), or smaller (loss).

    Returns:
        [..., seeds]; a run that does not reach the target counts with the horizon.
    """
    one, other, goal, end = _asked(plain, corrected, target, horizon)
    return _times(other, goal, end, largest) - _times(one, goal, end, largest)


def reached_shares(
    plain: ArrayLike,
    corrected: ArrayLike,
    target: Target,
    horizon: int | None = None,
    largest: bool = True,
) -> tuple[float, float]:
    """Shares of the plain and of the corrected runs that reach a target.

    Arguments are those of :func:`restricted_time`.
    """
    one, other, goal, end = _asked(plain, corrected, target, horizon)
    first, second = (_reached(arm, goal, end, largest).any(axis=-1) for arm in (one, other))
    return float(first.mean()), float(second.mean())


def swapped_times(
    plain: ArrayLike,
    corrected: ArrayLike,
    target: Target,
    horizon: int | None = None,
    largest: bool = True,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Mean of :func:`time_differences` for each labelling of the pairs, the one at hand first.

    A target that is made of the plain runs is made anew for each, as it favours one arm. Arguments
    are those of :func:`restricted_time`; see :func:`agc.reports.swaps.swapped_values`.
    """

    def mean(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return time_differences(one, other, target, horizon, largest).mean(axis=-1)

    return swapped_values(mean, plain, corrected, seed)


def restricted_time(
    plain: ArrayLike,
    corrected: ArrayLike,
    target: Target,
    horizon: int | None = None,
    largest: bool = True,
    seed: int = 0,
) -> Restricted:
    """Compare how soon the runs of two arms reach a target.

    A target that is made of the plain runs is made anew for each swap of labels, as it favours one
    arm; a fixed one is what it is.

    Args:
        plain: [seeds, epochs] of raw values; NaN marks an epoch that does not count.
        corrected: the same seeds in the same order.
        target: the value to reach, or :func:`share_of_final`.
        horizon: epochs after which a run is no longer followed; all of them by default.
        largest: whether larger is better (accuracy), or smaller (loss).
        seed: of the swaps, where there are too many seeds to count them out.

    Raises:
        ValueError: shapes do not fit, or the horizon is outside the epochs.
    """
    one, other = matching_arms(plain, corrected)
    if one.ndim != 2:
        raise ValueError(f"curves of shape {one.shape}: they are [seeds, epochs]")
    end = one.shape[1] if horizon is None else horizon
    if not 1 <= end <= one.shape[1]:
        raise ValueError(f"a horizon of {end} epochs for curves of {one.shape[1]}")

    goal = np.asarray(target(one) if callable(target) else target)
    if np.isnan(goal):
        raise ValueError("the target is not a number")
    first, second = (_times(arm, goal, end, largest) for arm in (one, other))
    wide, narrow = (paired_difference(second - first, level) for level in (0.95, 0.90))
    null, swap_p = 0.0, sign_flip_p((second - first) / len(one), seed)
    if callable(target):
        swapped = against_labellings(swapped_times(one, other, target, end, largest, seed))
        null, swap_p = swapped.null_mean, swapped.p
    reached = reached_shares(one, other, target, end, largest)
    spread = np.nan if np.isnan(wide.low) else summarize(second - first).sd
    return Restricted(
        target=float(goal),
        horizon=end,
        plain=float(first.mean()),
        corrected=float(second.mean()),
        difference=wide.mean,
        low=wide.low,
        high=wide.high,
        low90=narrow.low,
        high90=narrow.high,
        mde=smallest_detectable(spread / np.sqrt(len(one)), len(one) - 1),
        reached_plain=reached[0],
        reached_corrected=reached[1],
        null=null,
        swap_p=swap_p,
        n=len(one),
    )


def _asked(
    plain: ArrayLike, corrected: ArrayLike, target: Target, horizon: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]:
    """Both arms as arrays, the value of the target, and the horizon."""
    one, other = np.asarray(plain, dtype=np.float64), np.asarray(corrected, dtype=np.float64)
    goal = np.asarray(target(one) if callable(target) else target)
    return one, other, goal, one.shape[-1] if horizon is None else horizon


def _reached(
    curves: NDArray[np.float64], target: NDArray[np.float64], horizon: int, largest: bool
) -> NDArray[np.bool_]:
    """[..., seeds, horizon]: whether the best so far is as good as the target, [...]."""
    best, goal = running_best(curves[..., :horizon], largest), target[..., None, None]
    # A target that is a mean of equal values is not missed by its last bit.
    return best >= goal - ROUNDING if largest else best <= goal + ROUNDING


def _times(
    curves: NDArray[np.float64], target: NDArray[np.float64], horizon: int, largest: bool
) -> NDArray[np.float64]:
    """Epochs of each run until it reaches the target, counted from 1; else the horizon."""
    reached = _reached(curves, target, horizon, largest)
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1.0, float(horizon))
