"""One estimate from many rows, with all that says how far to trust it.

A row is the paired differences of one method × sparsity × task; three or ten pairs tell little by
themselves. What is estimated is the mean over *these* rows, each counting the same; what another
row would show is the prediction interval's matter. Differences are in one unit throughout, and
larger is not assumed to be better.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from agc.reports.rows import mean_of_rows, pooled_sd, rows_with_pairs, smallest_detectable
from agc.reports.statistics import CONFIDENCE
from agc.reports.swaps import sign_flip_p


class Heterogeneity(NamedTuple):
    """Rows as a sample of rows: random-effects mean, what a new row would show, and Cochran's Q."""

    re_mean: float = np.nan
    re_low: float = np.nan
    re_high: float = np.nan
    pred_low: float = np.nan
    pred_high: float = np.nan
    q: float = np.nan
    q_p: float = np.nan
    tau: float = np.nan


class Pooled(NamedTuple):
    """What :func:`pool` says of ``k`` rows with ``n`` pairs in all, in the differences' unit.

    ``low`` to ``high`` covers 95 %, ``low90`` to ``high90`` 90 %. ``tost_p`` is the p of two
    one-sided tests that the mean lies within ±``margin``, ``attained`` the least margin within
    which they would call it equivalent. ``mde`` is the effect that a test at 5 % finds four times
    in five. NaN: there is no such number.
    """

    k: int
    n: int
    mean: float
    se: float
    df: float
    low: float
    high: float
    p: float
    low90: float
    high90: float
    margin: float
    tost_p: float
    attained: float
    flip_p: float
    mde: float
    re_mean: float
    re_low: float
    re_high: float
    pred_low: float
    pred_high: float
    q: float
    q_p: float
    tau: float


def pool(
    rows: Sequence[ArrayLike],
    margin: float,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Pooled:
    """Pool rows of paired differences; rows without a pair are left out.

    Intervals are those of the mean of the rows' means, with Satterthwaite's degrees of freedom.
    Equivalence is two one-sided tests at 5 % (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987).
    ``flip_p`` flips the signs of single pairs; see :func:`flip_seeds_p` for whole seeds.

    Args:
        rows: one array of differences a row; NaN marks a pair that lacks a side.
        margin: largest difference that does not matter, positive.
        groups: what each row shares its spread with, such as its sparsity; all rows without it.
        seed: of the sign flips, where there are too many to count out.

    Raises:
        ValueError: the margin is not positive, or there are not as many groups as rows.
    """
    from scipy.stats import t

    if not margin > 0 or not np.isfinite(margin):
        raise ValueError(f"margin {margin!r}: a positive number, in the differences' unit")
    values, labels = rows_with_pairs(rows, groups)
    mean, se, df = mean_of_rows(values, labels)
    half, half90 = (t.ppf(0.5 + confidence / 2, df) * se for confidence in (CONFIDENCE, 0.9))
    above, below = t.sf((mean + margin) / se, df), t.sf((margin - mean) / se, df)
    terms = [row / len(row) / len(values) for row in values]
    return Pooled(
        k=len(values),
        n=sum(len(row) for row in values),
        mean=mean,
        se=se,
        df=df,
        low=float(mean - half),
        high=float(mean + half),
        p=float(2 * t.sf(abs(mean) / se, df)),
        low90=float(mean - half90),
        high90=float(mean + half90),
        margin=float(margin),
        tost_p=float(max(above, below)),
        attained=float(abs(mean) + half90),
        flip_p=sign_flip_p(np.concatenate(terms), seed) if terms else np.nan,
        mde=smallest_detectable(se, df),
        **heterogeneity(values, labels)._asdict(),
    )


def heterogeneity(
    rows: Sequence[ArrayLike], groups: Sequence[Hashable] | None = None
) -> Heterogeneity:
    """Random-effects mean, prediction interval, and a test that all rows have one mean.

    A row's variance is its group's s² / n: three differences say too little of their own. τ² is
    Paule and Mandel's. The interval takes the larger of the two standard errors, fixed scale and
    Hartung's and Knapp's, because the latter is too narrow where τ² = 0 (IntHout, Ioannidis and
    Borm, BMC Med. Res. Methodol. 14:25, 2014). The prediction interval is Higgins', Thompson's and
    Spiegelhalter's (J. R. Stat. Soc. A 172, 2009), with t on K − 2 degrees of freedom. Q / (K − 1)
    is compared with F, as s² is estimated: for one group it is the analysis of variance exactly,
    where χ² would call equal rows different too often.
    """
    from scipy.stats import f, t
    from statsmodels.stats.meta_analysis import combine_effects

    values, labels = rows_with_pairs(rows, groups)
    k = len(values)
    spreads = {
        label: pooled_sd([row for row, own in zip(values, labels, strict=True) if own == label])
        for label in dict.fromkeys(labels)
    }
    if k < 2 or not all(spread.sd > 0 for spread in spreads.values()):
        return Heterogeneity()
    means = np.array([row.mean() for row in values])
    variances = np.array(
        [spreads[own].sd ** 2 / len(row) for row, own in zip(values, labels, strict=True)]
    )
    # Rows with one mean have Q = 0, by which statsmodels divides for its I².
    with np.errstate(divide="ignore", invalid="ignore"):
        found = combine_effects(means, variances, method_re="pm", use_t=True)
    mean, tau2 = float(found.mean_effect_re), float(found.tau2)
    se = float(max(found.sd_eff_w_re, found.sd_eff_w_re_hksj))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, k - 1)) * se
    reach = np.nan
    if k > 2:
        reach = float(t.ppf(0.5 + CONFIDENCE / 2, k - 2) * np.sqrt(tau2 + se**2))
    freedom = sum(spread.df for spread in spreads.values())
    return Heterogeneity(
        re_mean=mean,
        re_low=mean - half,
        re_high=mean + half,
        pred_low=mean - reach,
        pred_high=mean + reach,
        q=float(found.q),
        q_p=float(f.sf(found.q / (k - 1), k - 1, freedom)),
        tau=float(np.sqrt(tau2)),
    )


def flip_seeds_p(table: ArrayLike, seed: int = 0) -> float:
    """Two-sided p of the mean of rows with the signs of whole seeds flipped.

    Runs of one seed share draws across rows; single pairs are then no independent witnesses.

    Args:
        table: [rows, seeds] of differences; NaN marks a pair that lacks a side.
        seed: of the draws, where there are too many seeds to count out.
    """
    differences = np.asarray(table, dtype=np.float64)
    differences = differences[~np.isnan(differences).all(axis=1)]
    share = (~np.isnan(differences)).sum(axis=1, keepdims=True) * len(differences)
    terms = np.nansum(differences / share, axis=0)
    return sign_flip_p(terms[~np.isnan(differences).all(axis=0)], seed)
