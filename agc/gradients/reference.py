"""An older point of the training, where losses and gradients can be asked for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from agc.gradients.gradient import loss_and_gradient, mean_loss
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from agc.gradients.gradient import LossFunction
    from agc.gradients.loss_scale import LossScale


class ReferencePoint:
    """A copy of a model at older weights, where losses and gradients can be asked for.

    The copy has buffers of its own, so that batch statistics gathered at the older weights never
    reach the model that is trained.
    """

    def __init__(self, model: Module) -> None:
        self.module = copy.deepcopy(model)
        self.module.zero_grad(set_to_none=True)
        self._named = dict(self.module.named_parameters())

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What was trained when the point was taken, by name."""
        return {n: p for n, p in self._named.items() if p.requires_grad}

    def move_to(self, model: Module) -> None:
        """Take over the present weights, buffers and modes of ``model``."""
        with torch.no_grad():
            here = {**dict(model.named_parameters()), **dict(model.named_buffers())}
            there = {**self._named, **dict(self.module.named_buffers())}
            for name, tensor in there.items():
                tensor.copy_(here[name])
        for name, parameter in self._named.items():
            parameter.requires_grad_(here[name].requires_grad)
        self.follow_modes(model)
        # An autocast around the whole step keeps casts of the weights, which are old now.
        torch.clear_autocast_cache()

    def follow_modes(self, model: Module) -> None:
        """Train or evaluate module by module as ``model`` does now."""
        for mine, theirs in zip(self.module.modules(), model.modules(), strict=True):
            mine.training = theirs.training

    def loss(self, batch: Any, loss_fn: LossFunction) -> Tensor:
        """Loss of a batch at the older weights, without a graph."""
        with torch.no_grad():
            return mean_loss(self.module, batch, loss_fn)

    def gradient(
        self, batch: Any, loss_fn: LossFunction, scale: LossScale | None = None
    ) -> dict[str, Tensor]:
        """Gradient of a batch's loss at the older weights, by parameter name."""
        return loss_and_gradient(self.module, self.parameters, batch, loss_fn, scale)[1]

    def state_dict(self) -> dict[str, Any]:
        """The weights and buffers of the point."""
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.module.load_state_dict(state)
