"""Extrapolation with past gradients (Lin et al., "Extrapolation for Large-batch Training in Deep
Learning", arXiv 2006.05720).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.shared.evaluation_point import PastGradient
from agc.cost.units import Cost
from agc.gradients.lists import scale
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("extragradient", source="arXiv 2006.05720, abstract")
class Extragradient(PastGradient):
    """The gradient at θ - η̂ g', where g' is the gradient of the step before; applied at θ.

    Re-implemented from the abstract. On a noiseless quadratic it narrows the range of stable
    learning rates; what it may gain comes from noise.

    Args:
        step_size: η̂, the length of the extrapolation in units of the gradient.
    """

    off: ClassVar[dict[str, Any] | None] = {"step_size": 0.0}

    def __init__(self, model: Any, *, step_size: Annotated[float, Field(ge=0)] = 0.01) -> None:
        super().__init__(model)
        self.step_size = step_size

    def direction(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Down the last gradient; nowhere in the first step."""
        active = self.masked(self.along)
        found = scale(list(active.values()), [-self.step_size] * len(active))
        return dict(zip(active, found, strict=True))

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; the last gradient and the weights to go back to."""
        return Cost(tensors=2)
