"""The Square attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.attacks.base import Attack, Threat
from agc.lazy import torch
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@ATTACKS.register("square", source="arXiv 1912.00049")
class Square(Attack):
    """Random search that sees no gradient, by torchattacks: tells whether gradients are masked.

    Args:
        queries: forward passes for each image.
    """

    library = "torchattacks"
    extra = "attacks"

    def __init__(self, *, queries: Annotated[int, Field(ge=1)] = 5000) -> None:
        self.queries = queries

    def craft(self, model: Module, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
        """One search; the library seeds the global generator itself."""
        from torchattacks import Square as Search

        seed = int(torch.randint(2**31, ()).item())
        attack = Search(
            model,
            norm=threat.name,
            eps=threat.epsilon,
            n_queries=self.queries,
            resc_schedule=False,
            seed=seed,
        )
        return attack(images, labels)
