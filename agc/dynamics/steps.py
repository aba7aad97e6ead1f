"""Steps to a loss, read in the same way from a predicted course and from a measured one."""

from __future__ import annotations

import math
from collections.abc import Sequence

TARGETS = (0.5, 0.3, 0.15)
"""Losses that are asked for where none is given, relative to the first one."""


def steps_to(
    target: float, initial: float, losses: Sequence[float], steps_per_epoch: int
) -> float | None:
    """Steps after which a training loss is first at a target.

    What is known of a training is the mean loss of each epoch's steps: it is taken as the loss in
    the epoch's middle, and in between as exponential.

    Args:
        target: above 0.
        initial: loss before the first step.
        losses: of each epoch, the mean over its steps.
        steps_per_epoch: steps of an epoch.

    Returns:
        The steps, 0 if the first loss is at the target already; None if it is never reached.
    """
    if initial <= target:
        return 0.0
    place, before = 0.0, initial
    for epoch, loss in enumerate(losses):
        middle = (epoch + 0.5) * steps_per_epoch
        if loss <= target:
            fall = math.log(before / max(loss, 1e-300))
            return place + (middle - place) * math.log(before / target) / fall
        place, before = middle, loss
    return None
