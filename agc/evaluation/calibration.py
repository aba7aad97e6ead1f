"""How far a network's confidence can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15
"""Of the expected calibration error, as usual since Guo et al. (arXiv 1706.04599)."""


def calibration(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Expected calibration error, negative log-likelihood and Brier score.

    Args:
        logits: [N, K].
        labels: int64 [N].

    Returns:
        ``calibration_error``: mean over images of |accuracy - mean confidence| of the bin that
        their confidence (largest probability) falls in, of 15 of equal width; a fraction.
        ``negative_log_likelihood``: mean, in nats. ``brier_score``: mean squared distance of the
        probabilities from the label's, summed over classes; 0 to 2.
    """
    logarithms = logits.double().log_softmax(dim=1)
    probabilities = logarithms.exp()
    confidence, predicted = probabilities.max(dim=1)
    excess = confidence - (predicted == labels).double()
    bins = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    # |Σ excess| of a bin is its images' number times |confidence - accuracy|.
    member = bins[:, None] == torch.arange(BINS, device=bins.device)
    gaps = (excess[:, None] * member).sum(dim=0).abs()
    truth = (labels[:, None] == torch.arange(logits.shape[1], device=labels.device)).double()
    return {
        "calibration_error": (gaps.sum() / len(labels)).item(),
        "negative_log_likelihood": -(logarithms * truth).sum(dim=1).mean().item(),
        "brier_score": (probabilities - truth).square().sum(dim=1).mean().item(),
    }
