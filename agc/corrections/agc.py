"""Adaptive gradient correction (AGC; its authors call the method AGENT), arXiv 2301.03573."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from agc import rng
from agc.corrections.base import Correction, Cost, ReferencePoint, gradient_of, preserved_buffers
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.corrections.base import LossFunction


@CORRECTIONS.register("agc", source="arXiv 2301.03573")
class AGC(Correction):
    """Gradient correction (AGC): g + γτ (u - q).

    g is the minibatch gradient, q the same batch's gradient at the snapshot (the weights at the
    epoch's start), and u the full gradient there, so the correction has mean zero and the
    corrected gradient stays unbiased. τ estimates the correlation of present and older gradients
    from the losses of the snapshot pass at the two points: Cov(l, l') / Var(l'), smoothed over
    epochs with the forgetting factor α.

    ``variant="corrected"`` departs from the official code where that is biased or leaks: the
    first snapshot is the masked initial weights, no stale gradient enters u, and the pass leaves
    the model's buffers alone. An epoch costs 10 units a batch instead of 3.

    Args:
        gamma: scale γ of the coefficient; the official default is 0.1.
        alpha: forgetting factor α, weight of the newest estimate of τ.
        tau0: τ before the first epoch.
        variant: which published behaviour to follow.
    """

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 0.1,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
        tau0: float = 0.1,
        variant: Literal["corrected"] = "corrected",
    ) -> None:
        super().__init__(model)
        if variant != "corrected":
            raise ValueError(f"unknown variant {variant!r} of agc (known: corrected)")
        self.gamma = gamma
        self.alpha = alpha
        self.tau = tau0
        self.snapshot: ReferencePoint | None = None
        self.full_gradient: dict[str, Tensor] = {}

    @property
    def coefficient(self) -> float:
        """γτ, the weight of the correction."""
        return self.gamma * self.tau

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Pass over the data: full gradient at the present weights, τ, new snapshot.

        Raises:
            ValueError: ``batches`` is empty.
        """
        if self.snapshot is None:
            self.snapshot = ReferencePoint(self.model)
        total = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        now, before = [], []
        with rng.preserved(), preserved_buffers(self.model):
            for batch in batches:
                loss = loss_fn(self.model, batch)
                for name, gradient in gradient_of(loss, self.parameters).items():
                    total[name] += gradient
                now.append(loss.detach())
                before.append(self.snapshot.loss(batch, loss_fn))
        if not now:
            raise ValueError("the snapshot pass got no batches")
        # Every training step weighs the same, so the full gradient is the mean over batches,
        # not over samples: a small last batch counts as much as the others.
        self.full_gradient = {name: sum_.div_(len(now)) for name, sum_ in total.items()}
        self._update_tau(torch.stack(now), torch.stack(before))
        self.snapshot.move_to(self.model)

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add γτ (u - q) to the gradients.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if self.snapshot is None:
            raise RuntimeError("AGC.correct was called before AGC.begin_epoch")
        with rng.preserved():
            older = self.snapshot.gradient(batch, loss_fn)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if parameter.grad is not None:
                    difference = self.full_gradient[name] - older[name]
                    parameter.grad.add_(difference, alpha=self.coefficient)

    def _update_tau(self, now: Tensor, before: Tensor) -> None:
        """τ ← (1 - α) τ + α Cov(l, l') / Var(l'), sample estimates over the pass' batches.

        Losses that do not vary say nothing about a correlation: τ stays.
        """
        losses = torch.stack([now, before]).double().cpu()
        if losses.shape[1] < 2:
            return
        # Losses that are all equal have a variance of exactly 0 only once they are shifted to 0.
        covariance = torch.cov(losses - losses[:, :1])
        variance = covariance[1, 1].item()
        if variance > 0:
            current = covariance[0, 1].item() / variance
            self.tau = (1 - self.alpha) * self.tau + self.alpha * current

    def diagnostics(self) -> dict[str, float]:
        """τ and the coefficient γτ."""
        return {"tau": self.tau, "coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Pass: gradient (3) and older loss (1); step: older gradient (3)."""
        return Cost(step=3, snapshot=4, prepared_pass=True, tensors=2)

    def state_dict(self) -> dict[str, Any]:
        """τ, the snapshot with its buffers, and the full gradient."""
        return {
            "tau": self.tau,
            "snapshot": None if self.snapshot is None else self.snapshot.module.state_dict(),
            "full_gradient": self.full_gradient,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.tau = state["tau"]
        self.full_gradient = dict(state["full_gradient"])
        if state["snapshot"] is not None:
            self.snapshot = ReferencePoint(self.model)
            self.snapshot.module.load_state_dict(state["snapshot"])
