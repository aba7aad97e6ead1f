"""Adversarial training with PGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.cost.units import Passes
from agc.objectives.shared.adversarial import AdversarialObjective
from agc.registry import LATER, OBJECTIVES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch


@OBJECTIVES.register("pgd-at", source="arXiv 1706.06083")
class PGDAdversarialTraining(AdversarialObjective):
    """Cross-entropy on adversarial images alone, crafted by PGD.

    Defaults are the settings of the paper's adversarial experiments on colour images.

    Args:
        clean_share: weight s of the clean images in (1 - s) CE(x′) + s CE(x). Above 0 each loss
            takes a second pass, over the same batch before its attack. It is the control for
            corrections whose full gradient sees clean images (arXiv 2301.03573).
    """

    def __init__(
        self, *, clean_share: Annotated[float, Field(ge=0, lt=1), LATER] = 0.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.clean_share = clean_share

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """One pass; with a clean share two, each with batch statistics of its own."""
        if not self.clean_share:
            return super().loss(model, batch)
        clean = self.cross_entropy(model(batch.clean), batch.labels)
        return (1 - self.clean_share) * super().loss(model, batch) + self.clean_share * clean

    @classmethod
    def evaluation(cls, **options: Any) -> Passes:
        """Adversarial images, and clean ones if they have a share."""
        passes = 2 if options.get("clean_share", 0) else 1
        return Passes(forward=passes, backward=passes)
