"""Pruning by the magnitude of the initial weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agc.methods.shared.ranked import RankedMethod
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "magnitude-init", family="before training", source="arXiv 2009.08576", needs="nothing"
)
class MagnitudeInit(RankedMethod):
    """Keeps the largest initial weights, as the baseline of that name in "Why are we missing the
    mark?" and in ganguli-lab/Synaptic-Flow. No weight is grown, and no gradient is read.

    More ``iterations`` prune the same weights.
    """

    def scores(self, batches: Iterable[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Magnitude of each weight."""
        return {name: p.detach().abs() for name, p in self.parameters.items()}
