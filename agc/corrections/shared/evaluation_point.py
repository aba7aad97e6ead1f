"""Corrections that change where the gradient is taken: the weights move before the forward pass
and come back, bit by bit, before the optimizer's step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.corrections.base import Correction
from agc.gradients.loss_scale import LossScale
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction
    from agc.methods.base import SparseMethod

SMALL = 1e-12


class EvaluationPoint(Correction):
    """Shift by :meth:`direction` before the forward pass, restore before the step.

    The point shifted to keeps pruned weights at zero.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.masks: dict[str, Tensor] = {}
        self.home: dict[str, Tensor] = {}

    def attach(self, sparse: SparseMethod) -> None:
        """Keep the method's masks, which it changes in place."""
        self.masks = sparse.masks

    def direction(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """By how much to move each tensor; empty for not at all."""
        raise NotImplementedError

    def before_forward(self, batch: Any, loss_fn: LossFunction) -> None:
        """Remember the weights, and move."""
        shift, parameters = self.direction(batch, loss_fn), self.parameters
        with torch.no_grad():
            self.home = {name: parameters[name].clone() for name in shift if name in parameters}
            for name in self.home:
                parameters[name].add_(shift[name])
        # An autocast around the whole step would go on with casts of the weights before.
        torch.clear_autocast_cache()

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Go back; the gradient stays that of the point shifted to."""
        parameters = self.parameters
        with torch.no_grad():
            for name, weight in self.home.items():
                parameters[name].copy_(weight)
        self.home = {}
        torch.clear_autocast_cache()

    def masked(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Zero at pruned weights."""
        return {n: g * self.masks[n] if n in self.masks else g for n, g in gradient.items()}

    def to_length(self, gradient: dict[str, Tensor], radius: float) -> dict[str, Tensor]:
        """All tensors together scaled to the Euclidean norm ``radius``, pruned weights left out."""
        active = self.masked(gradient)
        if not active:
            return {}
        norms = [torch.linalg.vector_norm(g) for g in active.values()]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        return {name: g * (radius / (norm + SMALL)) for name, g in active.items()}


class PastGradient(EvaluationPoint):
    """Shifts along the gradient of the step before, which costs nothing."""

    state = ("before",)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.scale = LossScale(self.model)
        self.before: dict[str, Tensor] = {}

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Go back, and keep this step's gradient for the next one."""
        super().correct(batch, loss_fn)
        present = self.gradients()
        if not self.scale.overflowed(present.values()):
            self.before = {name: gradient.clone() for name, gradient in present.items()}
