"""The statistics of the tables: each is named, none is shared under one sign."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
# Accuracies are fractions of a whole number of test images: their differences are whole steps
# apart, and a spread as small as this is rounding.
ROUNDING = 1e-12


class Summary(NamedTuple):
    """Mean and sample standard deviation (divisor n − 1) of ``n`` values."""

    mean: float
    sd: float
    n: int


class Difference(NamedTuple):
    """Mean paired difference of ``n`` pairs with its t confidence interval (NaN: there is none)."""

    mean: float
    low: float
    high: float
    n: int


def summarize(values: ArrayLike) -> Summary:
    """Summarize the values that are numbers; one value has no standard deviation (NaN)."""
    numbers = _numbers(values)
    if not len(numbers):
        return Summary(np.nan, np.nan, 0)
    sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else np.nan
    return Summary(float(np.mean(numbers)), sd, len(numbers))


def paired_difference(differences: ArrayLike, confidence: float = CONFIDENCE) -> Difference:
    """Mean of paired differences with its t interval; one pair has no interval (NaN).

    Neither have pairs with the same difference throughout. An accuracy is a whole number of hits,
    so a few seeds can agree in it by chance; the t interval would have no width then, and exclude
    0 however small the difference, as if the spread between seeds were known to be none.

    Args:
        differences: one number for each pair; NaN marks a pair that lacks a side.
        confidence: coverage of the interval.
    """
    from scipy.stats import t

    mean, sd, n = summarize(differences)
    if n < 2 or np.ptp(_numbers(differences)) <= ROUNDING:
        return Difference(mean, np.nan, np.nan, n)
    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * sd / np.sqrt(n)
    return Difference(mean, float(mean - half), float(mean + half), n)


def running_best(curves: ArrayLike, largest: bool = True) -> NDArray[np.float64]:
    """Best value so far of each curve.

    Args:
        curves: [..., seeds, epochs]; NaN marks an epoch that does not count.
        largest: whether the largest value is best, or the smallest.

    Returns:
        The same shape; NaN before the first epoch that counts.
    """
    table = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    return (np.fmax if largest else np.fmin).accumulate(table, axis=-1)


def mean_running_best(curves: ArrayLike, largest: bool = True) -> NDArray[np.float64]:
    """Running-best curves averaged over seeds: [..., epochs]; NaN until every seed has a
    value.
    """
    return running_best(curves, largest).mean(axis=-2)


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]
