"""Auto-PGD on the targeted difference-of-logits ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.attacks.base import Attack, Threat
from agc.lazy import torch
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FEWEST = 4
"""Classes that the ratio needs."""


@ATTACKS.register("apgd-t", source="arXiv 2003.01690")
class APGDTargeted(Attack):
    """Auto-PGD towards each of the nine likeliest wrong classes, by torchattacks.

    Args:
        steps: for each class; AutoAttack takes 100 of them.
    """

    library = "torchattacks"
    extra = "attacks"

    def __init__(self, *, steps: Annotated[int, Field(ge=1)] = 20) -> None:
        self.steps = steps

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """One random start for each class; the library seeds the global generator itself."""
        from torchattacks import APGDT

        with torch.no_grad():
            classes = model(images[:1]).shape[1]
        seed = int(torch.randint(2**31, ()).item())
        attack = APGDT(
            model,
            norm=threat.name,
            eps=threat.epsilon,
            steps=self.steps,
            seed=seed,
            n_classes=min(classes, 10),
        )
        return attack(images, labels)

    def refuse(self, threat: Threat, classes: int) -> str | None:
        """The ratio compares the four largest logits."""
        few = f"it needs {FEWEST} classes, there are {classes}" if classes < FEWEST else None
        return few or super().refuse(threat, classes)
