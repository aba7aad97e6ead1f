"""Weights behind the masks: what methods share that train more than the forward pass sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.lazy import torch
from agc.methods.base import SparseMethod

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


class HiddenWeights(SparseMethod):
    """Pruned weights are zero in the model, and live on in ``hidden``.

    Between ``before_step`` and ``step`` the model has all of them, and the optimizer and its weight
    decay see them; their optimizer state is not masked. So any ``optimizer`` works, and whatever
    reads the model at rest (a correction, an attack, an evaluation) sees the sparse network.

    A subclass chooses the masks in :meth:`forward_masks`, after each optimizer step.
    """

    hides_weights = True

    def __init__(self, model: Module, optimizer: Optimizer | None = None, **options: Any) -> None:
        dense = {n: p.detach().clone() for n, p in model.named_parameters()}
        # The optimizer is the base's to mask; here it is to see hidden weights.
        super().__init__(model, None, **options)
        self.optimizer = optimizer
        prefix = "" if self.model is model else "module."
        self.hidden = {n: dense[prefix + n].mul_(~self.masks[n]) for n in self.masks}

    def before_step(self) -> None:
        """Bring the hidden weights back."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(torch.where(self.masks[name], parameter, self.hidden[name]))

    def step(self) -> bool:
        """Choose the masks anew and hide what they prune."""
        self.steps += 1
        with torch.no_grad():
            changed = self._choose()
            for name, parameter in self.parameters.items():
                self.hidden[name] = parameter * ~self.masks[name]
                parameter.mul_(self.masks[name])
        return changed

    def _choose(self) -> bool:
        if not self.update_due(self.steps):
            return False
        changed = False
        for name, mask in self.forward_masks().items():
            changed = changed or not torch.equal(mask, self.masks[name])
            self.masks[name].copy_(mask)
            self.explored[name] |= mask
        return changed

    def update_due(self, step: int) -> bool:
        """Masks are chosen anew after every step, unless a subclass knows better."""
        return True

    def forward_masks(self) -> dict[str, Tensor]:
        """Masks for the next step; the model has all weights at this moment."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The base's, and the hidden weights."""
        return {**super().state_dict(), "hidden": self.hidden}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        for name, hidden in self.hidden.items():
            hidden.copy_(state["hidden"][name])
