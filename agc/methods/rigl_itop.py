"""RigL-ITOP: RigL with long intervals, until the end of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.methods.rigl import RigL
from agc.methods.shared.annealed import Annealed
from agc.methods.shared.drop_and_grow import Interval
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register(
    "rigl-itop",
    family="sparse to sparse",
    source="arXiv 2102.02887",
    needs="the dense gradient at updates",
)
class RigLITOP(Annealed, RigL):
    """Drops the smallest weights and grows by the gradient, rarely and until the end.

    See :class:`~agc.methods.set_itop.SetITOP` for the idea. From the official code,
    Shiweiliuiiiiiii/In-Time-Over-Parameterization: the optimizer steps first; growth reads the
    raw gradient of that step's minibatch; a weight that is dropped and grown again keeps its
    value and momentum, other grown weights start at zero with zero momentum.

    Args:
        update_interval: steps between updates. A training that is shorter never updates.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        update_interval: Interval = 4000,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, update_interval=update_interval, **options)
