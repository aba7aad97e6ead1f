"""SAM: sharpness-aware minimisation (Foret et al., arXiv 2010.01412)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.shared.evaluation_point import EvaluationPoint
from agc.cost.units import Cost
from agc.gradients.gradient import loss_and_gradient, preserved_buffers
from agc.gradients.loss_scale import LossScale
from agc.gradients.noise import NoiseReplay
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("sam", source="arXiv 2010.01412")
class SAM(EvaluationPoint):
    """The gradient at θ + ρ g / |g|, where the loss rises fastest within ρ; applied at θ.

    Args:
        rho: radius ρ over all active weights together.
    """

    off: ClassVar[dict[str, Any] | None] = {"rho": 0.0}

    def __init__(self, model: Any, *, rho: Annotated[float, Field(ge=0)] = 0.05) -> None:
        super().__init__(model)
        self.rho = rho
        self.noise = NoiseReplay(*self.replicas.ways)
        self.scale = LossScale(*self.replicas.ways)

    def direction(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Along the batch's own gradient; running statistics do not see this pass."""
        with self.noise.preserved(), preserved_buffers(self.model):
            _, gradient = loss_and_gradient(
                self.passes, self.parameters, batch, loss_fn, self.scale
            )
        gradient = self.replicas.mean(gradient)
        return (
            {} if self.scale.overflowed(gradient.values()) else self.to_length(gradient, self.rho)
        )

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A second gradient in each step."""
        return Cost(step=3, tensors=2)
