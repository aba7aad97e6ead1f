"""What a number would be if nothing told the arms apart: labels swapped within the seeds.

Plain and corrected runs of a seed share all draws, so that, if the correction does nothing, either
label could stand on either run: Fisher, The Design of Experiments, 1935, §21. The 2^n ways to
label n pairs are counted out where they are few, and drawn otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 9_999
EXACT_UP_TO = 12
"""Pairs of which all labellings are counted out: 4,096."""
# Sums of the same numbers in another order differ in their last bits: they are ties.
TIE = 1e-12
AT_ONCE = 4_000_000
"""Numbers of an arm, of all labellings together, that are held in memory."""

Metric = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""Number of two arms, [seeds, ...] each: of the plain one, then of the corrected one."""
Stacked = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""The same of many labellings at once: [labellings, seeds, ...] each to [labellings]."""


class Swapped(NamedTuple):
    """A number of two arms, and what the same number is with the labels swapped.

    ``null_mean``, ``null_low`` and ``null_high`` (mean and the middle 95 %) are what two equal arms
    with these runs give; ``p`` is the share of labellings as far from ``null_mean`` as the one at
    hand, or farther. NaN: the number is not defined.
    """

    value: float
    p: float
    null_mean: float
    null_low: float
    null_high: float
    labellings: int


def labellings(pairs: int, seed: int = 0) -> NDArray[np.bool_]:
    """Which pairs have their labels swapped, the labelling at hand (none) first.

    Returns:
        [labellings, pairs]: all 2^pairs up to ``EXACT_UP_TO`` pairs, else none and ``DRAWS`` draws.
    """
    if pairs <= EXACT_UP_TO:
        return (np.arange(2**pairs)[:, None] >> np.arange(pairs)) % 2 == 1
    drawn = np.random.default_rng(seed).random((DRAWS, pairs)) < 0.5
    return np.concatenate([np.zeros((1, pairs), dtype=bool), drawn])


def sign_flip_p(contributions: ArrayLike, seed: int = 0) -> float:
    """Two-sided p of a sum whose terms are as likely positive as negative; NaN without a term.

    Args:
        contributions: what each pair adds to the statistic, such as its difference divided by the
            number of pairs. NaN marks a pair that lacks a side.
        seed: of the draws, where there are more signs than can be counted out.
    """
    from scipy.stats import permutation_test

    terms = np.asarray(contributions, dtype=np.float64).ravel()
    terms = terms[~np.isnan(terms)]
    if not len(terms):
        return np.nan
    if len(terms) == 1:
        return 1.0  # Two labellings, one as far out as the other.
    found = permutation_test(
        (terms,),
        lambda signed, axis: signed.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWS,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def swap_test(metric: Metric, plain: ArrayLike, corrected: ArrayLike, seed: int = 0) -> Swapped:
    """Any number of two arms against itself with the labels swapped within the seeds.

    It holds for numbers that treat the arms unequally too, such as one whose target is the plain
    arm's own best: the target moves with the label.

    Args:
        metric: the number; labellings for which it is NaN are left out.
        plain: [seeds, ...].
        corrected: [seeds, ...], the same seeds in the same order.
        seed: of the draws, where there are more than ``EXACT_UP_TO`` seeds.

    Raises:
        ValueError: the arms have not the same shape, or no seed.
    """

    def each(ones: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([metric(one, other) for one, other in zip(ones, others, strict=True)])

    return against_labellings(swapped_values(each, plain, corrected, seed))


def swapped_values(
    metric: Stacked, plain: ArrayLike, corrected: ArrayLike, seed: int = 0
) -> NDArray[np.float64]:
    """The number for each of the :func:`labellings`, [labellings], the one at hand first.

    Args:
        metric: the number.
        plain: [seeds, ...].
        corrected: [seeds, ...], the same seeds in the same order.
        seed: of the draws, where there are more than ``EXACT_UP_TO`` seeds.

    Raises:
        ValueError: the arms have not the same shape, or no seed.
    """
    one, other = matching_arms(plain, corrected)
    swaps = labellings(len(one), seed)
    axes = (..., *(None,) * (one.ndim - 1))
    values = []
    for part in np.array_split(swaps, -(-len(swaps) * one.size // AT_ONCE)):
        swap = part[axes]
        values.append(metric(np.where(swap, other, one), np.where(swap, one, other)))
    return np.concatenate(values)


def against_labellings(values: ArrayLike) -> Swapped:
    """A number beside what it is under other labellings.

    Args:
        values: as of :func:`swapped_values`; labellings for which it is NaN are left out.
    """
    found = np.asarray(values, dtype=np.float64)
    return _swapped(found, float(np.mean(found[~np.isnan(found)])) if found.size else np.nan)


def pooled_against_labellings(rows: Sequence[ArrayLike], seed: int = 0) -> Swapped:
    """The mean over rows of a number, with the labels swapped in each row by itself.

    All combinations are counted out where they are as few as those of ``EXACT_UP_TO`` pairs.

    Args:
        rows: as of :func:`swapped_values`, one array a row; rows without the number are left out.
        seed: of the draws, where there are more combinations.
    """
    values = [np.asarray(row, dtype=np.float64) for row in rows]
    values = [row[~np.isnan(row)] for row in values if not np.isnan(row[0])]
    if not values:
        return Swapped(*(np.nan,) * 5, 0)
    # The null of a mean is the mean of the rows' nulls, however many combinations are drawn.
    centre = float(np.mean([row.mean() for row in values]))
    if np.prod([float(len(row)) for row in values]) <= 2**EXACT_UP_TO:
        return _swapped(reduce(np.add.outer, values).ravel() / len(values), centre)
    rng = np.random.default_rng(seed)
    drawn = [np.append(row[0], rng.choice(row, DRAWS)) for row in values]
    return _swapped(np.mean(drawn, axis=0), centre)


def _swapped(values: NDArray[np.float64], centre: float) -> Swapped:
    """``values`` with the labelling at hand first, around their null mean ``centre``."""
    value = float(values[0])
    values = values[~np.isnan(values)]
    if np.isnan(value):
        return Swapped(value, np.nan, np.nan, np.nan, np.nan, len(values))
    distance = abs(value - centre) * (1 - TIE) - TIE
    p = float(np.mean(np.abs(values - centre) >= distance))
    low, high = np.quantile(values, (0.025, 0.975))
    return Swapped(value, p, centre, float(low), float(high), len(values))


def matching_arms(
    plain: ArrayLike, corrected: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arms as arrays of one shape, [seeds, ...].

    Raises:
        ValueError: the arms have not the same shape, or no seed.
    """
    one = np.asarray(plain, dtype=np.float64)
    other = np.asarray(corrected, dtype=np.float64)
    if one.shape != other.shape or not one.ndim or not len(one):
        raise ValueError(
            f"arms of shapes {one.shape} and {other.shape}: both need the same seeds, at least one"
        )
    return one, other
