"""TRADES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.attacks.shared.pgd import attacked
from agc.cost.units import Passes
from agc.gradients.autocast import autocast
from agc.lazy import torch
from agc.objectives.shared.adversarial import AdversarialObjective, away_from, divergence
from agc.objectives.shared.options import Beta, Near
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch


@OBJECTIVES.register("trades", source="arXiv 1901.08573")
class Trades(AdversarialObjective):
    """CE(f(x), y) + β KL(f(x) ‖ f(x′)), where x′ raises that divergence (Zhang et al., eq. 5).

    Args:
        beta: weight of the divergence, 1/λ of the paper.
        start: ``normal``, 0.001 away from the image, as published; or ``uniform``.
    """

    attacks_labels = False

    def __init__(self, *, beta: Beta = 6.0, start: Near = "normal", **options: Any) -> None:
        super().__init__(start=start, **options)
        self.beta = beta

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """Attack the prediction, whatever the label says; ``batch.clean`` are the given images."""
        half = autocast(batch.images, self.precision)
        with attacked(model, self.settings["batch_norm"]), torch.no_grad(), half:
            clean = model(batch.images)
        images = self.attack(model, batch.images, away_from(clean), generator)
        return batch._replace(images=images, clean=batch.images)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Two passes, each with batch statistics of its own; the gradient goes through both."""
        clean = model(batch.clean)
        natural = self.cross_entropy(clean, batch.labels)
        return natural + self.beta * divergence(clean, model(batch.images)).mean()

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """The clean prediction, then the attack steps."""
        return Passes(forward=options["steps"] + 1, input_backward=options["steps"])

    @classmethod
    def evaluation(cls, **options: Any) -> Passes:
        """Clean and adversarial images."""
        return Passes(forward=2, backward=2)
