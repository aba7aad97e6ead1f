"""Adversarial training on batches that are half clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.cost.units import Passes
from agc.lazy import torch
from agc.objectives.shared.adversarial import AdversarialObjective
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch


@OBJECTIVES.register("mixed-at", source="arXiv 1611.01236")
class MixedAdversarialTraining(AdversarialObjective):
    """Cross-entropy on batches whose first half is adversarial and whose second half is clean.

    One pass sees both halves, so batch norm sees them together, as in Kurakin et al. and in
    BSR-Net's code ("mat").
    """

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """Attack the first half; the clean images stay in ``batch.clean``."""
        half = len(batch.images) // 2
        crafted = self.crafted(model, batch.images[:half], batch.labels[:half], generator)
        images = torch.cat([crafted, batch.images[half:]])
        return batch._replace(images=images, clean=batch.images)

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """Half of what an attack on the whole batch costs."""
        whole = super().preparation(**options)
        return Passes(forward=whole.forward / 2, input_backward=whole.input_backward / 2)
