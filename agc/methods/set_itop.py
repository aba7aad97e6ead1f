"""SET-ITOP: SET with long intervals, until the end of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.methods.set import SET
from agc.methods.shared.annealed import Annealed
from agc.methods.shared.drop_and_grow import Interval
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register("set-itop", family="sparse to sparse", source="arXiv 2102.02887", needs="nothing")
class SetITOP(Annealed, SET):
    """Drops the smallest weights and grows random ones, rarely and until the end.

    In-time over-parameterisation holds that the fraction of weights ever active decides, and
    that weights need time before they are judged: half of the weights go at an update, and
    updates are 1,500 steps apart. From the official code,
    Shiweiliuiiiiiii/In-Time-Over-Parameterization: the optimizer steps first; a weight that is
    dropped and grown again keeps its value and momentum, other grown weights start at zero with
    zero momentum; no gradient is read. Its growth draws each vacant place with a probability, so
    that the count drifts; here it is exact.

    Args:
        update_interval: steps between updates. A training that is shorter never updates.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        update_interval: Interval = 1500,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, update_interval=update_interval, **options)
