"""Many comparisons at once: p-values of a family, arms against one control, and the luckiest row.

A family is what is looked at together. Of twenty rows without any effect one excludes 0, and of
seven the best looks like a gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.statistics import CONFIDENCE

ADJUSTMENTS = ("holm", "fdr_bh")


class Contrast(NamedTuple):
    """An arm's mean minus the control's, with bounds and p that hold for all arms together."""

    difference: float
    low: float
    high: float
    p: float
    n: int


class Best(NamedTuple):
    """Largest of several rows' means if none has an effect: its mean, and its 95 % quantile."""

    mean: float
    quantile: float


def adjusted(p: ArrayLike, how: Literal["holm", "fdr_bh"]) -> NDArray[np.float64]:
    """p-values of one family, adjusted so that each may be compared with 0.05.

    Args:
        p: any shape; NaN (a row without a test) stays NaN and is no member of the family.
        how: ``holm`` bounds the chance of a single false finding (Scand. J. Stat. 6, 1979): for
            the few hypotheses that were named beforehand. ``fdr_bh`` bounds the share of false
            ones among the findings (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995): for rows.

    Raises:
        ValueError: another ``how``, or a p outside 0 to 1.
    """
    from statsmodels.stats.multitest import multipletests

    values = np.array(p, dtype=np.float64)
    tested = ~np.isnan(values)
    if how not in ADJUSTMENTS:
        raise ValueError(f"adjustment {how!r}: {' or '.join(ADJUSTMENTS)}")
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise ValueError(f"p-values {values[tested].tolist()}: they lie between 0 and 1")
    if tested.any():
        values[tested] = multipletests(values[tested], method=how)[1]
    return values


def many_to_one(
    arms: Mapping[str, ArrayLike], control: ArrayLike, seed: int = 0
) -> dict[str, Contrast]:
    """Each arm against one control (Dunnett, J. Am. Stat. Assoc. 50, 1955), not paired by seed.

    Accuracies of two runs of one seed are as different as those of two seeds as long as all seeds
    train on the same images: pairing would only cost degrees of freedom.

    Args:
        arms: one number a seed of each arm, by its name; NaN marks a seed without a result.
        control: the same of the arm that all are compared with.
        seed: of the integration of scipy, which is random in its fourth digit.

    Raises:
        ValueError: an arm or the control has fewer than two results.
    """
    from scipy.stats import dunnett

    numbers = {name: _numbers(values) for name, values in arms.items()}
    reference = _numbers(control)
    for name, values in [*numbers.items(), ("control", reference)]:
        if len(values) < 2:
            raise ValueError(f"{name}: {len(values)} results; a spread needs two")
    if not numbers:
        return {}
    rng = np.random.default_rng(seed)
    found = dunnett(*numbers.values(), control=reference, random_state=rng)
    bounds = found.confidence_interval(CONFIDENCE)
    contrasts = zip(numbers.items(), bounds.low, bounds.high, found.pvalue, strict=True)
    return {
        name: Contrast(
            float(values.mean() - reference.mean()), float(low), float(high), float(p), len(values)
        )
        for (name, values), low, high, p in contrasts
    }


def expected_best(k: int, sd: float, n: int) -> Best:
    """Best of ``k`` rows' means without any effect, that is what "at best" is worth.

    The rows are independent and normal. For a measure of which less is better, it is the negative.

    Args:
        k: rows.
        sd: standard deviation of a row's differences.
        n: pairs of a row.

    Raises:
        ValueError: no row, or no pair.
    """
    if k < 1 or n < 1:
        raise ValueError(f"{k} rows of {n} pairs: at least one of each")
    return expected_best_of(np.full(k, sd / np.sqrt(n)))


def expected_best_of(errors: ArrayLike, either_side: bool = False) -> Best:
    """The same of rows that are not alike.

    Args:
        errors: the standard error of each row's mean; NaN, or 0, is a row of unknown spread, and
            left out. NaN if none is left.
        either_side: of the row that is farthest from 0, whatever its sign.
    """
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.stats import norm

    known = _numbers(errors)
    known = known[known > 0]
    if not len(known):
        return Best(np.nan, np.nan)
    largest = known.max()
    # In units of the largest; its tails beyond ±12 hold nothing.
    scales = known / largest

    def below(x: float) -> float:
        chances = norm.cdf(x / scales)
        if either_side:
            chances = np.maximum(2 * chances - 1, 0.0)
        return float(chances.prod())

    mean, _ = quad(lambda x: 1 - below(x) - below(-x), 0, 12, epsabs=1e-10)
    quantile = brentq(lambda x: below(x) - CONFIDENCE, -12, 12)
    return Best(float(mean * largest), float(quantile * largest))


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]
