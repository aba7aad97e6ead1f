"""The attack of Carlini and Wagner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.attacks.base import OwnPGD, Threat
from agc.lazy import torch
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@ATTACKS.register("cw", source="arXiv 1608.04644")
class CarliniWagner(OwnPGD):
    """Raises the margin of the best wrong class over the right one.

    In L2 it is the published attack by torchattacks: the smallest change that it finds, which
    counts if it is within the radius. In L∞, for which the paper's own attack is not in use, it
    is PGD on the paper's margin loss, as in TRADES' and MART's tables ("CW∞").

    Args:
        steps: of gradient ascent, or of Adam in L2.
        weight: of the margin against the length of the change, in L2.
    """

    library = "torchattacks"
    extra = "attacks"
    bounded = False

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=1)] = 50,
        weight: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        self.steps = steps
        self.weight = weight

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """By torchattacks in L2, our own PGD in L∞."""
        if threat.norm == "linf":
            return super().craft(model, images, labels, threat)
        from torchattacks import CW

        # The library inverts tanh, which is infinite at pixels of exactly 0 and 1.
        inner = images.clamp(1e-6, 1 - 1e-6)
        return CW(model, c=self.weight, steps=self.steps)(inner, labels)

    def step_size(self, threat: Threat) -> float:
        """All steps together could cross the ball."""
        return 2.5 * threat.epsilon / self.steps

    def loss(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """The margin, summed over images."""

        def margin(logits: Tensor) -> Tensor:
            right = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
            best_wrong = logits.masked_fill(right, -torch.inf).amax(dim=1)
            return (best_wrong - logits.masked_fill(~right, 0).sum(dim=1)).sum()

        return margin

    def refuse(self, threat: Threat, classes: int) -> str | None:
        """The library is for L2 alone."""
        return None if threat.norm == "linf" else super().refuse(threat, classes)
