"""How soon a corrected run gets to where the plain run ends: epochs, units and seconds.

Raw accuracy of an epoch swings by many points before the first drop of the learning rate, so that
whichever run is longer at the high rate crosses any target first by luck. Hence running-best
curves, averaged over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agc.errors import UserError
from agc.reports.curves import Curve
from agc.reports.statistics import epochs_to_target, mean_running_best

# Name of the target, the measure it is of, whether larger is better.
TARGETS = (("accuracy", "validation_accuracy", True), ("loss", "train_loss", False))
MEASURES = ("epochs", "units", "seconds")


def crossings(plain: list[Curve], corrected: list[Curve]) -> dict[str, Any]:
    """When both arms reach the plain run's best validation accuracy and its final training loss.

    Both targets are the last value of the plain arm's averaged running-best curve, so that the
    plain arm always reaches its own.

    Args:
        plain: finished runs of the uncorrected arm.
        corrected: finished runs of the same seeds.

    Returns:
        For each target: ``{target}_target``, ``{arm}_{measure}_to_{target}`` for both arms (mean
        over seeds for units and seconds), ``{measure}_to_{target}_change_percent``, and
        ``{target}_crossing`` ("reached", "not reached", or "" where nothing is to compare).
    """
    row: dict[str, Any] = {}
    for target, field, largest in TARGETS:
        row |= _crossing(target, field, largest, plain, corrected)
    return row


def _crossing(
    name: str, field: str, largest: bool, plain: list[Curve], corrected: list[Curve]
) -> dict[str, Any]:
    target = np.nan
    if plain:
        target = mean_running_best(stack_counted(plain, field), largest)[-1]
    row: dict[str, Any] = {f"{name}_target": float(target)}
    needed: dict[str, dict[str, float]] = {}
    for arm, curves in (("plain", plain), ("corrected", corrected)):
        needed[arm] = reached(curves, field, float(target), largest)
        row |= {f"{arm}_{key}_to_{name}": value for key, value in needed[arm].items()}
    for key in MEASURES:
        change = change_percent(needed["plain"][key], needed["corrected"][key])
        row[f"{key}_to_{name}_change_percent"] = change
    outcome = "not reached" if np.isnan(needed["corrected"]["epochs"]) else "reached"
    row[f"{name}_crossing"] = outcome if corrected and not np.isnan(target) else ""
    return row


def reached(curves: list[Curve], field: str, target: float, largest: bool) -> dict[str, float]:
    """Epochs, and mean units and seconds, until runs first reach a target; NaN if they do not."""
    epoch = epochs_to_target(stack_counted(curves, field), target, largest) if curves else None
    if epoch is None:
        return dict.fromkeys(MEASURES, np.nan)
    return {
        "epochs": float(epoch),
        "units": float(np.mean([curve.units[epoch - 1] for curve in curves])),
        "seconds": float(np.mean([curve.seconds[epoch - 1] for curve in curves])),
    }


def change_percent(base: float, other: float) -> float:
    """Change from ``base`` in percent of it; NaN where there is nothing to compare with."""
    return 100 * (other - base) / base if base > 0 else np.nan


def stack_counted(curves: list[Curve], field: str) -> NDArray[np.float64]:
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
