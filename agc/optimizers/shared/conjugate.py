"""The four formulas of non-linear conjugate gradients for how much of a direction is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Formula = Literal["pr", "fr", "hs", "dy"]
"""Polak and Ribière, Fletcher and Reeves, Hestenes and Stiefel, Dai and Yuan."""

FORMULAS: tuple[Formula, ...] = ("pr", "fr", "hs", "dy")


def conjugacy(
    formula: Formula, tensors: Iterable[tuple[Tensor, Tensor, Tensor]], sign: float
) -> float | None:
    """The coefficient β of the direction before; all tensors together make one vector.

    Args:
        formula: which one.
        tensors: for each weight the gradient, the gradient before, and the momentum buffer.
        sign: of the direction that a buffer stands for: -1, as the buffer is subtracted from the
            weights. The published code takes 1, with which Hestenes and Stiefel's, and Dai and
            Yuan's coefficient is negative wherever it should be positive.

    Returns:
        β, unbounded; None where the formula divides by 0, as it does without any tensors.
    """
    above, below = 0.0, 0.0
    for gradient, older, buffer in tensors:
        change = gradient - older
        above += float((gradient * (change if formula in ("pr", "hs") else gradient)).sum())
        if formula in ("pr", "fr"):
            below += float((older * older).sum())
        else:
            below += sign * float((buffer * change).sum())
    beta = above / below if below else math.nan
    return beta if math.isfinite(beta) else None
