"""Placebo: rounding-sized noise, the arm that shows what a comparison makes of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc import rng
from agc.corrections.base import Correction
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("placebo", source="A/A arm of this suite")
class Placebo(Correction):
    """Multiplies each element of the gradient by 1 + ε ξ, with ξ standard normal.

    At the default that is the size of float32's rounding errors. A training amplifies them until
    the run is as far from the plain one as that of another seed (Summers and Dinneen, arXiv
    2103.04514), and has the same distribution: whatever a table says of this arm, it says of no
    effect at all.

    Args:
        strength: ε, the noise's standard deviation relative to the gradient.
        seed: of the noise.
    """

    off: ClassVar[dict[str, Any] | None] = {"strength": 0.0}
    sparse_gradients = False
    state = ("steps",)
    repeatable = True
    by_worker = True

    def __init__(
        self, model: Module, *, strength: Annotated[float, Field(ge=0)] = 1e-7, seed: int = 0
    ) -> None:
        super().__init__(model)
        self.strength = strength
        self.seed = seed
        self.steps = 0

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add the noise in place; the same if the step asks again."""
        if not self.repeated:
            self.steps += 1
        noise = None
        for gradient in self.gradients().values():
            if noise is None:
                device = str(gradient.device)
                noise = rng.generator(self.seed, "placebo", step=self.steps, device=device)
            xi = torch.randn(
                gradient.shape, generator=noise, device=gradient.device, dtype=gradient.dtype
            )
            gradient.addcmul_(gradient, xi, value=self.strength)
