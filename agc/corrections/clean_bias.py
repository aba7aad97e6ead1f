"""The control that asks whether the images of a correction's pass are its whole effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from warnings import warn

from pydantic import Field

from agc.corrections.shared.control_variate import ControlVariate
from agc.cost.units import Cost
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("clean-bias", source="control for arXiv 2301.03573")
class CleanBias(ControlVariate):
    """g + c (u_clean - u_adv): the bias of AGC's variant a-bsr without its variance reduction.

    u_clean and u_adv are full gradients at the weights of the epoch's start, of the same batches:
    of the stored images, neither attacked nor augmented, and of the images as the steps see them.
    In epoch e, counted from 0, c = γ (1 - (1 - α)^e). That is the coefficient of a-bsr, whose
    correction c (u_clean - q) differs from this one by c (u_adv - q), which has mean zero. What
    a-bsr does to running statistics is not done here.

    In standard training there is no attack and augmentation alone is left of the difference;
    without that either it is 0. So it is in a loop of one's own, with a warning, unless its
    ``batches`` have a method ``showing("raw")`` that gives the pass over the stored images.

    Args:
        gamma: scale γ of the coefficient.
        alpha: forgetting factor α, by which the coefficient comes near γ.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}
    state = ("epoch", "bias")
    by_parameter = ("bias",)

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 0.1,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
    ) -> None:
        super().__init__(model)
        self.gamma, self.alpha = gamma, alpha
        self.epoch = -1
        self.bias: dict[str, Tensor] = {}

    @property
    def coefficient(self) -> float:
        """c of this epoch; 0 in the first."""
        return self.gamma * (1 - (1 - self.alpha) ** max(self.epoch, 0))

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Both full gradients at the present weights; in the first epoch too, as a-bsr's pass.

        Raises:
            ValueError: ``batches`` is empty.
        """
        self.epoch += 1
        if hasattr(batches, "showing"):
            stored = batches.showing("raw")
        else:
            stored = batches
            warn("clean-bias: these batches have no showing('raw'), so its term is 0", stacklevel=2)
        clean = self.mean_gradient(stored, loss_fn)
        seen = self.mean_gradient(batches, loss_fn)
        self.bias = {name: clean[name] - seen[name] for name in seen}

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add c (u_clean - u_adv) to the gradients.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if not self.bias:
            raise RuntimeError("CleanBias.correct was called before begin_epoch")
        if self.scale.overflowed(self.gradients().values()):
            return
        with torch.no_grad():
            self.add(self.bias, self.coefficients())

    def diagnostics(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Two passes of a gradient each (3), one of them over prepared batches."""
        return Cost(snapshot=6, prepared_pass=1, tensors=1)
