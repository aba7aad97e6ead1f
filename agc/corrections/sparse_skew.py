"""SparseOpt's correction of the gradient's skew between neurons (arXiv 2605.27541)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from agc.corrections.base import Correction
from agc.lazy import torch
from agc.registry import CORRECTIONS
from agc.sparsity.neurons import neurons
from agc.state import unlike

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("sparse-skew", source="arXiv 2605.27541, abstract")
class SparseSkew(Correction):
    """Scales each neuron's gradient by √(1 - s_i) / √(1 - s), where s_i is the sparsity of its
    incoming weights and s that of the layer: neurons with few weights take smaller steps.

    Re-implemented from the abstract. Where all neurons of a layer have as many weights, or nothing
    is sparse, it is plain training.
    """

    off: ClassVar[dict[str, Any] | None] = None
    state = ("factors",)

    repeatable = True
    by_worker = True

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.factors: dict[str, Tensor] = {}
        self.layouts = neurons(self.model, self._named)

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """Factors are those of this network's neurons."""
        shapes = {
            key: p.shape if self.layouts[key].groups else (len(p), *[1] * (p.dim() - 1))
            for key, p in self._named.items()
            if p.dim()
        }
        factors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
        yield from unlike(name, saved, factors, some=True)

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """Factors by output neuron, from the masks."""
        for name, mask in masks.items():
            layout = self.layouts[name]
            rows = layout.rows(mask)
            fan_in = rows.flatten(1).float().mean(dim=1)
            factor = torch.sqrt(fan_in / fan_in.mean()).reshape(-1, *[1] * (mask.dim() - 1))
            # One for each neuron, or for each weight where neurons lie across the tensor.
            self.factors[name] = layout.back(factor.expand_as(rows)) if layout.groups else factor

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Scale the gradients of masked weights in place."""
        if not self.factors:
            self.on_topology_update(self.masks)
        with torch.no_grad():
            for name, factor in self.factors.items():
                parameter = self.parameters.get(name)
                if parameter is not None and parameter.grad is not None:
                    parameter.grad.mul_(factor)
