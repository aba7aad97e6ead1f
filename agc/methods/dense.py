"""No pruning at all: the reference that sparse training is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.methods.base import SparseMethod
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer


@METHODS.register("dense", family="control", source="", needs="nothing")
class Dense(SparseMethod):
    """Every weight is active from the first step to the last."""

    sparse = False

    def __init__(self, model: Module, optimizer: Optimizer | None = None) -> None:
        super().__init__(model, optimizer, sparsity=0.0)

    def touched(self) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """Nothing: there is no zero to keep."""
        return {}, {}
