"""S2-SAM: single-step SAM for sparse training (NeurIPS 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.shared.evaluation_point import PastGradient
from agc.cost.units import Cost
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("s2-sam", source="NeurIPS 2024, S2-SAM")
class S2SAM(PastGradient):
    """SAM whose direction is the gradient of the step before: no extra pass.

    Args:
        rho: radius ρ over all active weights together.
    """

    off: ClassVar[dict[str, Any] | None] = {"rho": 0.0}

    def __init__(self, model: Any, *, rho: Annotated[float, Field(ge=0)] = 0.05) -> None:
        super().__init__(model)
        self.rho = rho

    def direction(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Up the last gradient; nowhere in the first step."""
        return self.to_length(self.along, self.rho)

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; the last gradient and the weights to go back to."""
        return Cost(tensors=2)
