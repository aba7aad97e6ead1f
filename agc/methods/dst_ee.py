"""DST-EE: growth that balances exploitation and exploration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.rigl import RigL
from agc.methods.shared.drop_and_grow import Fraction, Interval
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register(
    "dst-ee",
    family="sparse to sparse",
    source="arXiv 2211.16667",
    needs="the dense gradient at updates, a counter for each weight",
)
class DSTEE(RigL):
    """RigL whose growth prefers weights that were seldom active, as a bandit's upper bound does.

    The score of weight i at step t is |g_i| + c ln t / (N_i + epsilon), with the raw minibatch
    gradient g and N_i the number of masks so far, the first included, in which it was active. All
    else is RigL's: the optimizer steps first; a weight that is dropped and grown again keeps its
    value and momentum, other grown weights start at zero with zero momentum.

    There is no official repository. The names of the options, epsilon and the decay of c are
    those of scripts that derive from the authors' code, which differ in c (1e-5 to 1e-2). That t
    counts optimizer steps and N masks is our reading. With c = 0 it is RigL, to the bit.

    Args:
        exploration: c at the start.
        exploration_decay: c is multiplied by it ...
        decay_interval: ... each time so many steps have passed.
        epsilon: keeps the bonus of a weight that was never active finite.
    """

    state = ("rounds_active",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        exploration: Annotated[float, Field(ge=0)] = 1e-3,
        exploration_decay: Fraction = 0.9,
        decay_interval: Interval = 1000,
        epsilon: Annotated[float, Field(gt=0)] = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.exploration = exploration
        self.exploration_decay = exploration_decay
        self.decay_interval = decay_interval
        self.epsilon = epsilon
        self.rounds_active = {name: mask.to(torch.int32) for name, mask in self.masks.items()}
        """Number of masks so far in which each weight was active."""

    def grow_scores(self, name: str) -> Tensor:
        """Magnitude of the gradient plus the bonus of what was seldom active."""
        decay = self.exploration_decay ** (self.steps // self.decay_interval)
        bonus = self.exploration * decay * math.log(self.steps)
        return super().grow_scores(name) + bonus / (self.rounds_active[name] + self.epsilon)

    def update_topology(self) -> None:
        """RigL's update; the new masks are counted."""
        super().update_topology()
        for name, mask in self.masks.items():
            self.rounds_active[name] += mask
