"""Adversarial training with PGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.objectives.attack import pgd
from agc.objectives.base import Objective, Passes
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Generator
    from torch.nn import Module

    from agc.datasets.loader import Batch


@OBJECTIVES.register("pgd-at", source="arXiv 1706.06083")
class PGDAdversarialTraining(Objective):
    """Cross-entropy on adversarial images alone, crafted by PGD in the L∞ ball.

    Defaults are the settings of the paper's adversarial experiments on colour images.

    Args:
        epsilon: radius, for pixels in [0, 1].
        step_size: of each attack step, for pixels in [0, 1].
        steps: number of attack steps.
    """

    def __init__(
        self,
        *,
        epsilon: Annotated[float, Field(ge=0, le=1)] = 8 / 255,
        step_size: Annotated[float, Field(ge=0, le=1)] = 2 / 255,
        steps: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self.epsilon = epsilon
        self.step_size = step_size
        self.steps = steps

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """Replace the images by adversarial ones; the clean ones stay in ``batch.clean``."""
        images = pgd(
            model,
            batch.images,
            lambda logits: torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum"),
            epsilon=self.epsilon,
            step_size=self.step_size,
            steps=self.steps,
            generator=generator,
        )
        return batch._replace(images=images, clean=batch.images)

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """One forward and one backward pass to the input for each attack step."""
        return Passes(forward=options["steps"], input_backward=options["steps"])
