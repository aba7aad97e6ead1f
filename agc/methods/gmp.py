"""GMP: gradual magnitude pruning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.base import Distribution, SparseMethod
from agc.registry import METHODS
from agc.sparsity.nan import looked_at_together
from agc.sparsity.ranking import largest_weights, refuse_frozen
from agc.sparsity.schedules import CubicSchedule

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction

Start = Annotated[float, Field(ge=0, lt=1)]
End = Annotated[float, Field(gt=0, le=1)]


@METHODS.register(
    "gmp", family="dense to sparse", source="arXiv 1710.01878", needs="dense training at first"
)
class GMP(SparseMethod):
    """Starts dense and prunes the smallest weights step by step, on a cubic schedule.

    Nothing is grown: a pruned weight is zero from then on, with zero momentum (in the source its
    value waits behind the mask, without a gradient). No gradient is read. A step that prunes
    takes its optimizer step first. Frozen layers are not pruned. The end comes by default when
    RigL's last update would come; the source chooses it by the learning rate.

    Args:
        total_steps: optimizer steps of the whole training.
        distribution: the source prunes all layers alike, ``uniform``; each layer's own sparsity
            follows the schedule.
        update_interval: steps between prunings.
        start_fraction: the schedule starts at this fraction of the training.
        end_fraction: it ends at this fraction, with the exact sparsity.

    Raises:
        InfeasibleSparsityError: so much is frozen that the sparsity cannot be reached.
        ValueError: the end is not after the start.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        total_steps: int,
        distribution: Distribution = "uniform",
        update_interval: Annotated[int, Field(ge=1)] = 100,
        start_fraction: Start = 0.0,
        end_fraction: End = 0.75,
        **options: Any,
    ) -> None:
        self.schedule = CubicSchedule(start_fraction, end_fraction, total_steps, update_interval)
        super().__init__(model, optimizer, distribution=distribution, **options)
        self.refuse_frozen()

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Look once more which layers are frozen."""
        self.refuse_frozen()

    def refuse_frozen(self) -> None:
        """Make sure that the layers that train can be pruned enough."""
        refuse_frozen(self.parameters, self.masks, self.sparsity_wanted, self.distribution)

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """All ones."""
        return {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.parameters.items()}

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with a pruning."""
        return self.schedule.due(step)

    def advance(self) -> bool:
        """Mask, and prune when due."""
        super().advance()
        if not self.takes_update():
            return False
        share = self.schedule.sparsity(self.steps, 0.0, 1.0)
        wanted = self.sparsity_wanted, self.distribution
        with looked_at_together():
            masks = largest_weights(self.parameters, self.masks, *wanted, share)
        self.set_masks(masks)
        self.made_update()
        return True
