"""MART."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.cost.units import Passes
from agc.lazy import torch
from agc.objectives.shared.adversarial import AdversarialObjective, divergence
from agc.objectives.shared.options import Beta, Starts
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch

ABOVE_ONE = 1.0001
"""What a probability is taken from before the logarithm, in the published code: never 0."""


@OBJECTIVES.register("mart", source="openreview rklOg6EFwS")
class Mart(AdversarialObjective):
    """CE(x′) - log(1 - max wrong p(x′)) + β KL(f(x) ‖ f(x′)) (1 - p(y|x)) (Wang et al. 2020).

    The attack is PGD on the cross-entropy.

    Args:
        beta: weight of the divergence, λ of the paper.
        start: ``normal``, 0.001 away from the image, as published; ``uniform``; or ``none``.
    """

    def __init__(self, *, beta: Beta = 6.0, start: Starts = "normal", **options: Any) -> None:
        super().__init__(start=start, **options)
        self.beta = beta

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Two passes, each with batch statistics of its own; the gradient goes through both."""
        clean, adversarial = model(batch.clean), model(batch.images)
        classes = torch.arange(clean.shape[1], device=clean.device)
        true = batch.labels[:, None] == classes
        wrong = adversarial.softmax(dim=1).masked_fill(true, 0).amax(dim=1)
        boosted = self.cross_entropy(adversarial, batch.labels) - (ABOVE_ONE - wrong).log().mean()
        right = clean.softmax(dim=1).masked_fill(~true, 0).sum(dim=1)
        return boosted + self.beta * (divergence(clean, adversarial) * (1 - right)).mean()

    @classmethod
    def evaluation(cls, **options: Any) -> Passes:
        """Clean and adversarial images."""
        return Passes(forward=2, backward=2)
