"""Weights behind the masks: what methods share that train more than the forward pass sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from agc.gradients.uninitialized import refuse_uninitialized
from agc.lazy import torch
from agc.methods.base import SparseMethod
from agc.methods.shared.hooks import Update
from agc.methods.shared.left_out import StepWatch
from agc.processes.wrappers import unwrapped
from agc.sparsity.nan import looked_at_together

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


class HiddenWeights(SparseMethod):
    """What is pruned is zero in the model, and lives on in ``hidden``.

    Within ``updating`` the model has all of it, and the optimizer and its weight decay see it;
    its optimizer state is not masked. ``shown`` puts it away again. So any ``optimizer`` works, and
    whatever reads the model at rest (a correction, an attack, an evaluation) sees the sparse
    network.

    A subclass chooses the masks in :meth:`forward_masks`, after each optimizer step.
    """

    hides_weights = True

    keeps_counts: ClassVar[bool] = True
    """Whether each layer has as many active weights in all of its masks."""

    whole = False
    """Whether the model has all weights at the moment."""

    state = ("hidden",)

    def __init__(self, model: Module, optimizer: Optimizer | None = None, **options: Any) -> None:
        refuse_uninitialized(unwrapped(model), type(self).__name__)
        dense = {n: p.detach().clone() for n, p in unwrapped(model).named_parameters()}
        # The optimizer is the base's to mask; here it is to see hidden weights.
        super().__init__(model, None, **options)
        self.optimizer, self.watch = optimizer, StepWatch(optimizer)
        self.hidden = {n: dense[n].mul_(~mask) for n, mask in self.touched()[1].items()}

    def learns(self) -> bool:
        """Whether the optimizer is to change hidden weights in this step."""
        return True

    @contextmanager
    def updating(self) -> Iterator[Update]:
        """Bring the hidden weights back for the optimizer."""
        self.held.check()  # before anything is moved
        self.whole = self.learns()
        if self.whole:
            self.restore()
        with super().updating() as update:
            self.settled = not self.whole
            yield update

    def restore(self) -> None:
        """Put the hidden weights into the model."""
        parameters, masks = self.touched()
        with torch.no_grad():
            for name, mask in masks.items():
                parameter = parameters[name]
                parameter.copy_(torch.where(mask, parameter, self.hidden[name]))

    def all_of(self, name: str) -> Tensor:
        """A parameter with what is hidden of it."""
        parameters, masks = self.touched()
        if self.whole:
            return parameters[name]
        return torch.where(masks[name], parameters[name], self.hidden[name])

    def advance(self) -> bool:
        """Choose the masks anew and hide what they prune."""
        self.count_step()
        changed = self.whole and self.choose()
        self.rest()
        return changed

    def rest(self) -> None:
        """Hide what is pruned."""
        if not self.whole:
            super().rest()
            return
        self.whole = False
        parameters, masks = self.touched()
        with torch.no_grad():
            for name, mask in masks.items():
                self.hidden[name] = parameters[name] * ~mask
                parameters[name].mul_(mask)

    def mask_gradients(self) -> None:
        """Nothing: hidden weights are trained too."""

    def choose(self) -> bool:
        """Take over new masks when due; whether they differ."""
        if not self.takes_update():
            return False
        self.made_update()
        masks = self.touched()[1]
        counts = self.active() if self.keeps_counts else {}
        with torch.no_grad():
            # One wait for the device, for all layers together.
            with looked_at_together() as look:
                new = self.forward_masks()
                changes = [look.ask((mask != masks[n]).any()) for n, mask in new.items()]
            for name, mask in new.items():
                masks[name].copy_(mask)
                if name in self.explored:
                    self.explored[name] |= mask
                if name in counts:
                    self.note_active(name, counts[name])
        return any(changed() for changed in changes)

    def update_due(self, step: int) -> bool:
        """Masks are chosen anew after every step, unless a subclass knows better."""
        return True

    def forward_masks(self) -> dict[str, Tensor]:
        """Masks for the next step; the model has all weights at this moment."""
        raise NotImplementedError
