"""Gradient centralisation (Yong et al., arXiv 2004.01461) over active weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from agc.corrections.base import Correction
from agc.lazy import torch
from agc.registry import CORRECTIONS
from agc.sparsity.neurons import neurons

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("centralize", source="arXiv 2004.01461")
class Centralize(Correction):
    """Subtracts from each filter's gradient its mean, taken over the filter's active weights.

    A mean over all weights followed by the mask, as a dense implementation gives in sparse
    training, is no projection; this one is. Gradients of pruned weights are left alone.
    """

    off: ClassVar[dict[str, Any] | None] = None
    sparse_gradients = False

    repeatable = True
    by_worker = True

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.layouts = neurons(self.model, self._named)

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Centralise the gradients of all weights with more than one dimension in place."""
        with torch.no_grad():
            for name, whole in self.gradients().items():
                if whole.dim() < 2:
                    continue
                mask = self.masks.get(name, torch.ones_like(whole, dtype=torch.bool))
                layout = self.layouts[name]
                gradient, mask = layout.rows(whole), layout.rows(mask)
                dims = tuple(range(1, gradient.dim()))
                count = mask.sum(dims, keepdim=True).clamp(min=1)
                mean = (gradient * mask).sum(dims, keepdim=True) / count
                whole.sub_(layout.back(mean * mask))
