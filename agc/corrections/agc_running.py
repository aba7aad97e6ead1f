"""A cheaper gradient correction (AGC): no pass of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from agc.corrections.agc import AGC
from agc.cost.units import Cost
from agc.gradients.lists import add_to, clones
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("agc-running", source="after arXiv 2301.03573")
class RunningAGC(AGC):
    """g + γτ (u - q) with u the mean of the last epoch's gradients, and τ measured in training.

    6 units a batch instead of 10. u lags behind: it is the mean along the last epoch's path, not
    at the snapshot, so the correction has a small bias there. The first epoch is plain.

    Args:
        gamma: scale of the coefficient; the estimate needs no margin, so 1.
        alpha: weight of the newest epoch's estimate.
        estimator: ``gradient``, ``layer`` or ``online``, as in ``agc``; but where a snapshot is
            new, τ is not known to be 1, and the memory of ``online`` goes on.
    """

    sparse_gradients = True
    spans_epochs = True
    by_worker = False
    state = ("running", "running_steps")
    by_parameter = ("running",)

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 1.0,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
        estimator: Literal["gradient", "layer", "online"] = "gradient",
    ) -> None:
        super().__init__(model, gamma=gamma, alpha=alpha, estimator=estimator)
        self.smooths = estimator != "online"
        self.running: dict[str, Tensor] = {}
        """Sum of the epoch's gradients so far."""
        self.running_steps = 0

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """u is the mean of the last epoch's gradients; τ, new snapshot."""
        if self.running_steps:
            self.mean = {n: total / self.running_steps for n, total in self.running.items()}
        self.running, self.running_steps = {}, 0
        if self.smooths:
            self.correlation.end_epoch()
        self.move_reference()

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add the gradient to the epoch's sum, and correct it if there is a u yet."""
        if self.scale.overflowed(self.gradients().values()):
            return
        gradient = self.whole_gradient()
        old = [name for name in gradient if name in self.running]
        new = [name for name in gradient if name not in self.running]
        with torch.no_grad():
            add_to([self.running[n] for n in old], [gradient[n] for n in old])
        self.running |= dict(zip(new, clones(gradient[n] for n in new), strict=True))
        self.running_steps += 1
        if self.mean:
            super().correct(batch, loss_fn)

    def centred(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """-g: a running mean is biased, and regressed on it a gradient would hide its own bias."""
        return {name: -value for name, value in gradient.items()}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A second gradient in each step."""
        return Cost(step=3, tensors=3)
