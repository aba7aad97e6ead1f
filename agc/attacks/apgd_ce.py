"""Auto-PGD on the cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.attacks.base import Attack, Threat
from agc.lazy import torch
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@ATTACKS.register("apgd-ce", source="arXiv 2003.01690")
class APGDCrossEntropy(Attack):
    """PGD with momentum and a step size that adapts itself, by torchattacks.

    Args:
        steps: AutoAttack takes 100 of them.
    """

    library = "torchattacks"
    extra = "attacks"

    def __init__(self, *, steps: Annotated[int, Field(ge=1)] = 20) -> None:
        self.steps = steps

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """One random start; the library seeds the global generator itself."""
        from torchattacks import APGD

        seed = int(torch.randint(2**31, ()).item())
        attack = APGD(model, norm=threat.name, eps=threat.epsilon, steps=self.steps, seed=seed)
        return attack(images, labels)
