"""Sparse-to-sparse training until the end: what methods share that never stop exploring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.methods.shared.drop_and_grow import DropAndGrow, Fraction

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer


class Annealed(DropAndGrow):
    """The drop fraction falls to a floor at the end of training, and updates go on until then.

    So it is in the official code of sparse momentum (TimDettmers/sparse_learning) and in what
    descends from it: ITOP and Flying Bird. The number of dropped weights is rounded up there, and
    here. One difference: no update comes after the last step, as its weights would never train.

    Args:
        drop_fraction: fraction of a layer's active weights that the first update replaces.
        drop_floor: what this fraction has fallen to at the end.
        end_fraction: no update from this fraction of the training on.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        drop_fraction: Fraction = 0.5,
        drop_floor: Annotated[float, Field(ge=0, lt=1)] = 0.005,
        end_fraction: Fraction = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(
            model, optimizer, drop_fraction=drop_fraction, end_fraction=end_fraction, **options
        )
        self.drop_floor = drop_floor

    def current_fraction(self) -> float:
        """Fraction of the active weights that an update replaces now."""
        progress = self.scheduled / self.end_step
        above = self.drop_schedule(self.drop_fraction - self.drop_floor, progress)
        return self.drop_floor + above

    def update_topology(self) -> None:
        """Drop and grow in each layer that trains; each keeps its number of active weights."""
        fraction = self.current_fraction()
        for name, active in self.active().items():
            if self.parameters[name].requires_grad:
                self.replace(name, math.ceil(fraction * active))
