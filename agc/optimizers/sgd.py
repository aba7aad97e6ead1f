"""Stochastic gradient descent with momentum, as torch has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from agc.optimizers.base import TorchOptimizer
from agc.registry import OPTIMIZERS

if TYPE_CHECKING:
    from torch import Tensor


@OPTIMIZERS.register("sgd", source="torch")
class SGD(TorchOptimizer):
    """Torch's SGD; without momentum there is no Nesterov momentum either."""

    parent: ClassVar[str] = "SGD"

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            nesterov=nesterov and momentum > 0,
            weight_decay=weight_decay,
        )
