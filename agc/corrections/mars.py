"""MARS (Yuan et al., arXiv 2411.10438): a scaled difference to the step before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.shared.older_point import OlderPoint
from agc.cost.units import Cost
from agc.gradients.lists import add_to, clones, copy_to, norms, scale, subtract
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("mars", source="arXiv 2411.10438")
class MARS(OlderPoint):
    """g + γ β / (1 - β) (g - g'), where g' is the gradient at the weights before on the present
    batch (``exact``) or simply the step before's gradient; then clipped by tensor.

    The optimizer's moving average is part of the method: its momentum should be β. All tensors are
    corrected; the official code leaves convolutions out, as they have four dimensions.

    Args:
        gamma: γ.
        beta: β, the optimizer's first momentum.
        exact: evaluate g' on the present batch, at the cost of a second gradient.
        clip: largest norm of a corrected tensor, or null.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0, "clip": None}
    state = ("before",)
    by_parameter = ("before",)
    made_with: ClassVar[dict[str, str] | None] = {"exact": "exact"}
    searchable = False
    spans_epochs = True

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 0.025,
        beta: Annotated[float, Field(ge=0, lt=1)] = 0.95,
        exact: bool = True,
        clip: Annotated[float, Field(gt=0)] | None = 1.0,
    ) -> None:
        super().__init__(model)
        self.coefficient = gamma * beta / (1 - beta)
        self.exact = exact
        self.clip = clip
        self.before: dict[str, Tensor] = {}

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add the scaled difference, clip, and become the step before the next one."""
        present = self.gradients()
        if self.scale.overflowed(present.values()):
            return
        raw = {} if self.exact else dict(zip(present, clones(present.values()), strict=True))
        older = self._older(batch, loss_fn)
        paired = {name: g for name, g in present.items() if name in older}
        gradients, tensors = list(paired.values()), list(present.values())
        with torch.no_grad():
            changes = subtract(gradients, [older[name] for name in paired])
            add_to(gradients, changes, alpha=self.coefficient)
            if self.clip is not None and tensors:
                factors = torch.clamp(self.clip / (norms(tensors) + 1e-12), max=1.0)
                copy_to(tensors, scale(tensors, factors.unbind()))
        self.before = raw
        if self.exact:
            self.move_reference()

    def _older(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """g', or nothing in the first step."""
        if not self.exact:
            return self.before
        if self.reference is None:
            return {}
        older = self.reference_gradient(batch, loss_fn)
        return {} if self.scale.overflowed(older.values()) else older

    def diagnostics(self) -> dict[str, float]:
        """The coefficient γ β / (1 - β)."""
        return {"coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A second gradient in each step if exact; one tensor either way."""
        return Cost(step=3 if options["exact"] else 0, tensors=1)
