"""The two measures in which the paper states its headline claims, of a pair of arms.

Its accuracy is the mean gap over six epochs of one training, 20 to 200 of 200 (Table 1): at the
last of them the gap is the smallest but one. Its epochs are the mean change over levels of test
accuracy, 0.60 to 0.88 where the plain run's best is 0.88 (Figure 4): at the last of them there is
hardly one.

Both need the test accuracy after every epoch. They have no value where a run has it of its last and
best epoch alone (``evaluation.test: last``).
"""

from __future__ import annotations

import math

import numpy as np

from agc.reports.acceleration import MEASURES, change_percent, reached, stack_counted
from agc.reports.curves import Curve
from agc.reports.statistics import mean_running_best

BUDGETS = (0.1, 0.2, 0.35, 0.45, 0.7, 1.0)
"""Where within a training the paper measures, as shares of its epochs."""

LOWEST = 0.68
"""The lowest level, as a share of the plain run's best: 0.60 of 0.88."""

FIELD = "test_accuracy"
ROUNDING = 1e-9


def budget_gap(plain: Curve, corrected: Curve) -> float:
    """Corrected minus plain test accuracy, a fraction: the mean over the epochs of ``BUDGETS``.

    NaN if a run was not measured after every epoch.
    """
    if not (plain.tested and corrected.tested):
        return float("nan")
    return _at_budgets(corrected) - _at_budgets(plain)


def _at_budgets(curve: Curve) -> float:
    last = len(curve.test_accuracy)
    epochs = [max(1, round(share * last)) - 1 for share in BUDGETS]
    return float(np.mean(curve.test_accuracy[epochs]))


def level_changes(plain: list[Curve], corrected: list[Curve]) -> dict[str, float]:
    """Change of what is needed to first reach a level, averaged over levels of test accuracy.

    Levels are a point apart, from ``LOWEST`` of the plain arm's best up to that. Curves are
    running bests averaged over seeds, as elsewhere.

    Args:
        plain: finished runs of the uncorrected arm.
        corrected: finished runs of the same seeds.

    Returns:
        ``levels``, ``levels_not_reached``, and ``{measure}_to_levels_change_percent`` over the
        levels that the corrected arm reaches (NaN if there is none). There is no level if a run was
        not measured after every epoch.
    """
    changes: dict[str, list[float]] = {key: [] for key in MEASURES}
    known = all(curve.tested for curve in (*plain, *corrected))
    levels = _levels(plain) if plain and corrected and known else []
    missed = 0
    for level in levels:
        base, other = (reached(arm, FIELD, level, True) for arm in (plain, corrected))
        if math.isnan(other["epochs"]):
            missed += 1
            continue
        for key in MEASURES:
            changes[key].append(change_percent(base[key], other[key]))
    means = {
        f"{key}_to_levels_change_percent": float(np.mean(values)) if values else np.nan
        for key, values in changes.items()
    }
    return {"levels": len(levels), "levels_not_reached": missed} | means


def _levels(plain: list[Curve]) -> list[float]:
    best = 100 * mean_running_best(stack_counted(plain, FIELD))[-1]
    if math.isnan(best):
        return []
    # The top is the last whole point that is reached, not one more by its last bit.
    top = math.floor(best + ROUNDING)
    return [point / 100 - ROUNDING for point in range(max(1, round(LOWEST * best)), top + 1)]
