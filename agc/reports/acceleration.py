"""How soon a corrected run gets as far as the plain runs, and the paper's two numbers, of a row.

Targets are shares of the plain arm's mean *final* accuracy, and a run that does not reach one
counts with all its epochs. A target made of the plain arm's best, and a mean over what reaches it,
make either of two equal arms look faster than the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agc.errors import UserError
from agc.reports.curves import Curve
from agc.reports.paper_metrics import (
    budget_gaps,
    censored_reduction,
    mean_reduction,
    reductions_by_seed,
)
from agc.reports.restricted import Restricted, restricted_time, share_of_final
from agc.reports.statistics import paired_difference
from agc.reports.swaps import against_labellings, sign_flip_p, swapped_values

Arm = NDArray[np.float64]
"""[seeds, epochs]."""

SHARES = {"97": 0.97, "99": 0.99, "100": 1.0}
"""Targets by their names in columns: of the plain arm's mean final validation accuracy."""
SHOWN = "99"
"""The target of tables and figures that have room for one."""


def to_targets(plain: list[Curve], corrected: list[Curve]) -> dict[str, float]:
    """Restricted mean epochs of both arms to each of ``SHARES``.

    Args:
        plain: finished runs of the uncorrected arm.
        corrected: finished runs of the same seeds.

    Returns:
        For each target: ``target_{name}``, ``{arm}_epochs_to_{name}``, ``{arm}_reached_{name}``
        (share of its runs), ``epochs_to_{name}_difference_mean``, ``_low``, ``_high`` and ``_n``
        (corrected minus plain), ``_null`` (the same of two equal arms) and ``_p`` (exact up to 12
        seeds). NaN without a pair.
    """
    row: dict[str, float] = {}
    arms = [stack_counted(arm, "validation_accuracy") for arm in (plain, corrected) if arm]
    for name, share in SHARES.items():
        found = Restricted(*(np.nan,) * (len(Restricted._fields) - 1), 0)
        if len(arms) == 2 and not np.isnan(arms[0][:, -1]).any():
            found = restricted_time(*arms, share_of_final(share))
        difference = f"epochs_to_{name}_difference"
        row |= {
            f"target_{name}": found.target,
            f"plain_epochs_to_{name}": found.plain,
            f"corrected_epochs_to_{name}": found.corrected,
            f"plain_reached_{name}": found.reached_plain,
            f"corrected_reached_{name}": found.reached_corrected,
            f"{difference}_mean": found.difference,
            f"{difference}_low": found.low,
            f"{difference}_high": found.high,
            f"{difference}_n": found.n,
            f"{difference}_null": found.null,
            f"{difference}_p": found.swap_p,
        }
    return row


def in_the_papers_measures(plain: list[Curve], corrected: list[Curve]) -> dict[str, float]:
    """Columns of the paper's two numbers (:mod:`agc.reports.paper_metrics`) of one row.

    Args:
        plain: finished runs of the uncorrected arm.
        corrected: finished runs of the same seeds.

    Returns:
        ``budget_accuracy_difference_*``, a fraction, and ``epochs_to_levels_change_*``, in percent
        over all ``levels``, of which ``levels_not_reached`` count as reached after the last epoch:
        ``mean``, ``low``, ``high``, ``n``, ``null`` and ``p`` (see :func:`to_targets`). NaN where a
        run was not measured after every epoch, or without a pair.
    """
    gaps, changes = np.array([]), np.array([])
    levels = missed = 0
    gap_p = null = change_p = np.nan
    if arms := tested_arms(plain, corrected):
        gaps, changes = budget_gaps(*arms), level_changes(*arms)
        gap_p = sign_flip_p(gaps / len(gaps))
        swapped = against_labellings(level_values(*arms))
        null, change_p = swapped.null_mean, swapped.p
        _, _, levels, missed = mean_reduction(*arms)
    row = {"levels": levels, "levels_not_reached": missed}
    for name, values, centre, p in (
        ("budget_accuracy_difference", gaps, 0.0 if len(gaps) else np.nan, gap_p),
        ("epochs_to_levels_change", changes, null, change_p),
    ):
        found = paired_difference(values)._asdict() | {"null": centre, "p": p}
        row |= {f"{name}_{key}": value for key, value in found.items()}
    return row


def level_changes(plain: Arm, corrected: Arm) -> NDArray[np.float64]:
    """What each seed adds to the change of epochs over levels, in percent; negative is sooner."""
    return -100 * reductions_by_seed(plain, corrected)


def level_values(plain: Arm, corrected: Arm) -> NDArray[np.float64]:
    """The change of epochs over levels, in percent, for each labelling of the pairs."""
    return -100 * swapped_values(censored_reduction, plain, corrected)


def tested_arms(plain: list[Curve], corrected: list[Curve]) -> tuple[Arm, Arm] | tuple[()]:
    """Test accuracy of both arms where all of their runs have it after every epoch; else nothing.

    Raises:
        UserError: the runs have not the same number of epochs.
    """
    if not plain or not corrected or not all(curve.tested for curve in (*plain, *corrected)):
        return ()
    return stack_counted(plain, "test_accuracy"), stack_counted(corrected, "test_accuracy")


def stack_counted(curves: list[Curve], field: str) -> Arm:
    """A measure of several runs: [seeds, epochs], NaN where it does not count.

    Raises:
        UserError: the runs have not the same number of epochs.
    """
    lengths = {len(curve.units) for curve in curves}
    if len(lengths) > 1:
        raise UserError(
            f"runs that differ only in their seed have {' and '.join(map(str, sorted(lengths)))}"
            " epochs: collect them again"
        )
    return np.stack([curve.counted(field) for curve in curves])
