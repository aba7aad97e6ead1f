"""RigL: rigging the lottery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.methods.shared.drop_and_grow import DropAndGrow
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor


@METHODS.register(
    "rigl",
    family="sparse to sparse",
    source="arXiv 1911.11134",
    needs="the dense gradient at updates",
)
class RigL(DropAndGrow):
    """Drops the smallest weights and grows where the raw minibatch gradient is largest."""

    grows_by_gradient = True

    def grow_scores(self, name: str) -> Tensor:
        """Magnitude of the gradient, pruned weights included."""
        return self.gradients[name].abs()
