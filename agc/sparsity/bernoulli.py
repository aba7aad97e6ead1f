"""Masks that are drawn: the gradient of their probabilities, and a budget for these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Preconditioner = Literal["sqrt", "none"]
SMALLEST = 1e-20
"""Keeps a probability of 0 or 1, whose mask never differs from it, from dividing 0 by 0."""


def policy_gradient(
    probabilities: Tensor, masks: Tensor, losses: Tensor, preconditioner: Preconditioner = "none"
) -> Tensor:
    """Variance-reduced estimate of the gradient of the expected loss, [n].

    The mean of the losses is the baseline of each (VR-PGE, arXiv 2111.05685, section 4), which
    leaves the estimate unbiased as it is divided by one sample less.

    Args:
        probabilities: that each part is kept, [n].
        masks: samples, [samples, n], at least two.
        losses: of the network under each of them, [samples].
        preconditioner: ``none`` for the gradient itself; ``sqrt`` multiplies its element i by
            √(s (1 - s)), s its probability, as the official code does.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    if not losses.isfinite().all():
        raise FloatingPointError(f"channel masks cannot be learnt from losses {losses.tolist()}")
    deviations = (losses - losses.mean()) / (len(losses) - 1)
    spread = (probabilities + SMALLEST) * (1 - probabilities + SMALLEST)
    scores = (masks.to(probabilities) - probabilities) / spread
    if preconditioner == "sqrt":
        scores = scores * spread.sqrt()
    return deviations @ scores


def project(probabilities: Tensor, budget: float) -> Tensor:
    """The nearest point in [0, 1] whose sum is at most ``budget``, which is not negative.

    It is the clamped point if that is within the budget; else all are lowered by the same number
    before they are clamped, found by bisection, such that the sum is the budget.
    """
    from scipy.optimize import bisect

    def excess(lowered: float) -> float:
        return (probabilities - lowered).clamp(0, 1).sum().item() - budget

    if excess(0.0) <= 0:
        return probabilities.clamp(0, 1)
    lowered = bisect(excess, 0.0, probabilities.max().item(), xtol=1e-14)
    return (probabilities - lowered).clamp(0, 1)
