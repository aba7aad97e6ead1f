"""Rows of paired differences: their spread, and intervals that borrow it from each other.

Three differences tell a mean but hardly a spread: where they agree by chance, a row's own t
interval excludes 0 however little that means. So rows share theirs, all of them or those of a
group, such as one sparsity. Differences are in one unit throughout.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.statistics import CONFIDENCE, ROUNDING

POWER = 0.8


class Spread(NamedTuple):
    """Standard deviation within rows and its degrees of freedom (0 of them: NaN)."""

    sd: float
    df: float


class Estimate(NamedTuple):
    """Unweighted mean of the rows' means; NaN in ``se`` and ``df``: nothing tells the spread."""

    mean: float
    se: float
    df: float


class Row(NamedTuple):
    """One row's mean with its 95 % and 90 % intervals from the spread of all rows (NaN: none)."""

    mean: float
    low: float
    high: float
    low90: float
    high90: float
    p: float
    mde: float
    df: float
    n: int
    se: float


def mean_of_rows(rows: Sequence[ArrayLike], groups: Sequence[Hashable] | None = None) -> Estimate:
    """Unweighted mean of the rows' means, se = √(Σ s²/n) / K, and Satterthwaite's df.

    A row of one pair has no spread and takes that of its group, whose uncertainty enters the
    degrees of freedom. A row without spread counts with its zero: it is one draw of s² as the
    others are, and to replace the smallest draws alone would make the mean of s² too large. Only
    where no row has a spread there is no ``se``, as in ``paired_difference``.

    Source: Satterthwaite, Biometrics Bulletin 2 (6), 1946; Welch, Biometrika 34, 1947.
    """
    values, labels = rows_with_pairs(rows, groups)
    if not values:
        return Estimate(np.nan, np.nan, np.nan)
    n = np.array([len(row) for row in values])
    freedom = n - 1
    variances = np.array([_variance(row) for row in values])
    mean = float(np.mean([row.mean() for row in values]))
    # se² is a sum of the rows' variances, each times its weight.
    weights = np.where(freedom > 0, 1 / n, 0.0)
    for index in np.flatnonzero(freedom == 0):
        shared = np.array([label == labels[index] for label in labels]) * freedom
        if not shared.sum():
            return Estimate(mean, np.nan, np.nan)
        weights += shared / shared.sum()
    parts = weights * variances / len(values) ** 2
    square = float(parts.sum())
    if not square > 0:
        return Estimate(mean, np.nan, np.nan)
    known = freedom > 0
    df = square**2 / float((parts[known] ** 2 / freedom[known]).sum())
    return Estimate(mean, float(np.sqrt(square)), df)


def pooled_sd(rows: Sequence[ArrayLike]) -> Spread:
    """Standard deviation within rows: the root of Σ (n − 1) s² / Σ (n − 1)."""
    values, _ = rows_with_pairs(rows)
    freedom = sum(len(row) - 1 for row in values)
    if not freedom:
        return Spread(np.nan, 0)
    squares = sum((len(row) - 1) * _variance(row) for row in values)
    return Spread(float(np.sqrt(squares / freedom)), freedom)


def row_intervals(rows: Sequence[ArrayLike], groups: Sequence[Hashable] | None = None) -> list[Row]:
    """Each row's mean, with a 95 % and a 90 % t interval, p and smallest detectable effect.

    The spread is that of its group (see :func:`pool`), so that a row whose few differences
    agree by chance is not taken for a precise one, and a row of one pair has an interval too.
    """
    from scipy.stats import t

    values = [_numbers(row) for row in rows]
    labels = _groups(values, groups)
    found = []
    for row, label in zip(values, labels, strict=True):
        members = [own for own, other in zip(values, labels, strict=True) if other == label]
        sd, df = pooled_sd(members)
        n = len(row)
        mean = float(row.mean()) if n else np.nan
        se = sd / np.sqrt(n) if n and sd > 0 else np.nan
        halves = [
            float(t.ppf(0.5 + level / 2, df)) * se if df else np.nan for level in (CONFIDENCE, 0.9)
        ]
        p = float(2 * t.sf(abs(mean) / se, df)) if df else np.nan
        ends = [float(mean + side * half) for half in halves for side in (-1, 1)]
        found.append(Row(mean, *ends, p, smallest_detectable(se, df), df, n, float(se)))
    return found


def smallest_detectable(
    se: float, df: float, power: float = POWER, alpha: float = 1 - CONFIDENCE
) -> float:
    """Effect that a two-sided t test finds, in its own direction, with probability ``power``.

    To find it in the other direction is left out: that has a probability below 1e-5 at a power of
    0.8, and scipy's noncentral t is NaN there for many effects. NaN without ``se``.
    """
    if not se > 0 or not df > 0:
        return np.nan
    return _detectable_shift(df, power, alpha) * se


# Many rows have the same degrees of freedom, and a root takes as long as all else of a row.
@cache
def _detectable_shift(df: float, power: float, alpha: float) -> float:
    """The same in units of the standard error."""
    from scipy.optimize import brentq
    from scipy.stats import t
    from statsmodels.stats.power import TTestPower

    test = TTestPower()

    def surplus(shift: float) -> float:
        found = test.power(shift, nobs=1, alpha=alpha / 2, df=df, alternative="larger")
        return float(found) - power

    above = 2 * float(t.isf(alpha / 2, df))
    while surplus(above) < 0:
        above *= 2
    return float(brentq(surplus, 0.0, above))


def rows_with_pairs(
    rows: Sequence[ArrayLike], groups: Sequence[Hashable] | None = None
) -> tuple[list[NDArray[np.float64]], list[Hashable]]:
    """The rows that have a pair, without NaN, and the group of each.

    Raises:
        ValueError: there are not as many groups as rows.
    """
    values = [_numbers(row) for row in rows]
    kept = [
        (row, label) for row, label in zip(values, _groups(values, groups), strict=True) if len(row)
    ]
    return [row for row, _ in kept], [label for _, label in kept]


def _groups(rows: Sequence[object], groups: Sequence[Hashable] | None) -> list[Hashable]:
    if groups is None:
        return [None] * len(rows)
    if len(groups) != len(rows):
        raise ValueError(f"{len(groups)} groups for {len(rows)} rows: one is needed for each row")
    return list(groups)


def _numbers(row: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(row, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def _variance(row: NDArray[np.float64]) -> float:
    """s² of a row, 0 where only rounding tells its differences apart, and of a single pair."""
    return float(np.var(row, ddof=1)) if len(row) > 1 and np.ptp(row) > ROUNDING else 0.0
