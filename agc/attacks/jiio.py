"""JIIO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.attacks.base import Attack, Threat
from agc.attacks.shared.joint_attack import attack_jointly
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@ATTACKS.register("jiio", source="arXiv 2111.13236")
class JIIO(Attack):
    """Moves an image together with its fixed point and adjoint, by one cell call an iteration.

    Args:
        steps: joint iterations.
        step_size: of the image in the first phase, as a share of the radius; a third in the second,
            from iteration 50 on, or from 5/8 of them if that is later.
        history: of Anderson's acceleration, as the official code has it; 1: none.
    """

    equilibrium = True

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=1)] = 80,
        step_size: Annotated[float, Field(gt=0)] = 0.6,
        history: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        self.steps = steps
        self.step_size = step_size
        self.history = history

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """From the image itself: no draw."""
        found = attack_jointly(
            model,
            images,
            labels,
            epsilon=threat.epsilon,
            step_size=self.step_size * threat.epsilon,
            iterations=self.steps,
            norm=threat.norm,
            history=self.history,
        )
        return found.images
