"""The recursion of SARAH and STORM: the reference point is the step before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.corrections.shared.control_variate import ControlVariate
from agc.gradients.lists import clones
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


class Recursive(ControlVariate):
    """d = g + c (d' - q): d' is the last corrected gradient, q is taken at the weights before."""

    repeatable = False
    by_worker = False
    searchable = False
    spans_epochs = True

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Correct by the step before, and become the step before the next one."""
        if self.scale.overflowed(self.gradients().values()):
            return
        if self.reference is not None:
            super().correct(batch, loss_fn)
        gradient = self.whole_gradient()
        self.mean = dict(zip(gradient, clones(gradient.values()), strict=True))
        self.move_reference()

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """Weights that have just been grown have no past: their estimate starts at zero, and the
        point before is looked at under the present masks.
        """
        if self.reference is None:
            return
        with torch.no_grad():
            for name, mask in masks.items():
                if name not in self.mean:
                    continue
                older = self.reference.parameters[name]
                self.mean[name].mul_(mask & (older != 0))
                older.mul_(mask)
