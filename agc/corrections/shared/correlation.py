"""Estimates of τ, the best coefficient of a control variate.

For one coefficient c the variance of g + c (u - q) is least at c* = Cov(g, q) / Var(q). The
official estimate regresses losses in place of gradients; the others regress the gradients
themselves, which a training pass has at hand anyway: as u is the mean of q, c* is about
Σ <g - m, q - u> / Σ |q - u|² for any fixed m. With m = u the noise of the estimate falls with that
of g - q, to nothing where the two points are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Bounds = tuple[float, float] | None
MEMORY = 0.8
"""Weight of the past in the online estimate: about five steps."""

Average = Callable[["Tensor"], "Tensor"]


def _alone(tensor: Tensor) -> Tensor:
    """The mean over one process."""
    return tensor


class LossCorrelation:
    """τ ← (1 - α) τ + α Cov(l, l') / Var(l'): losses of a pass at two points, an epoch apart."""

    def __init__(self, alpha: float, tau0: float, clip: Bounds) -> None:
        self.alpha = alpha
        self.tau = tau0
        self.clip = clip
        self.losses: list[tuple[Tensor, Tensor]] = []
        self.epochs = 0

    def observe(self, now: Tensor, before: Tensor) -> None:
        """Losses of one batch at the present and at the older weights."""
        self.losses.append((now, before))

    def regress(self, gradient: dict[str, Tensor], difference: dict[str, Tensor]) -> None:
        """Gradients are not looked at."""

    def renew(self) -> None:
        """Losses say nothing about the age of a snapshot."""

    def end_epoch(self, certain: bool = False, average: Average = _alone) -> None:
        """Take over what the pass has measured.

        Losses that do not vary say nothing about a correlation: τ stays.

        Args:
            certain: the two points are the same, so the estimate is 1 from the second epoch on.
            average: mean of a tensor over the processes that share a global batch.
        """
        losses, self.losses = self.losses, []
        self.epochs += 1
        if certain:
            if self.epochs > 1:
                self.tau = (1 - self.alpha) * self.tau + self.alpha
            return
        if len(losses) < 2:
            return
        table = torch.stack([torch.stack(column) for column in zip(*losses, strict=True)])
        table = average(table.double()).cpu()
        # Losses that are all equal have a variance of exactly 0 only once they are shifted to 0.
        covariance = torch.cov(table - table[:, :1])
        variance = covariance[1, 1].item()
        if variance > 0:
            current = covariance[0, 1].item() / variance
            self.tau = (1 - self.alpha) * self.tau + self.alpha * current
        if self.clip is not None:
            self.tau = min(max(self.tau, self.clip[0]), self.clip[1])

    def of(self, name: str) -> float:
        """τ of a tensor."""
        return self.tau

    def mean(self) -> float:
        """τ, for the log."""
        return self.tau

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"tau": self.tau, "epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.tau, self.epochs = state["tau"], state["epochs"]


class GradientCorrelation:
    """τ from gradients: sums over an epoch, smoothed over epochs with α.

    Args:
        alpha: weight of the newest epoch.
        tau0: before the first epoch has ended.
        clip: bounds of τ, or None.
        by_layer: one τ for each tensor instead of one for all.
    """

    def __init__(self, alpha: float, tau0: float, clip: Bounds, by_layer: bool) -> None:
        self.alpha = alpha
        self.tau0 = tau0
        self.clip = clip
        self.by_layer = by_layer
        self.tau: dict[str, Tensor] = {}
        self.products: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}

    def regress(self, gradient: dict[str, Tensor], difference: dict[str, Tensor]) -> None:
        """Add one step: g - m and u - q of each tensor."""
        self._add(gradient, difference)

    def _add(
        self, gradient: dict[str, Tensor], difference: dict[str, Tensor], memory: float = 1.0
    ) -> None:
        for name, d in difference.items():
            key = name if self.by_layer else ""
            product = -(gradient[name] * d).sum(dtype=torch.float64)
            square = d.square().sum(dtype=torch.float64)
            self.products[key] = memory * self.products.get(key, 0.0) + product
            self.squares[key] = memory * self.squares.get(key, 0.0) + square

    def end_epoch(self, certain: bool = False, average: Average = _alone) -> None:
        """Take over the epoch's sums, of gradients that are averaged already, and start new ones;
        the arguments are the loss estimate's.
        """
        for key in self.products:
            self.tau[key] = self._smoothed(key)
        self.products, self.squares = {}, {}

    def renew(self) -> None:
        """The estimate is a mean over all ages of a snapshot, so a new one changes nothing."""

    def _smoothed(self, key: str) -> Tensor:
        product, square = self.products[key], self.squares[key]
        old = self.tau.get(key, torch.full_like(product, self.tau0))
        # Where q never differs from u there is nothing to correct, and τ stays.
        current = torch.where(square > 0, product / square, old)
        return self._clipped((1 - self.alpha) * old + self.alpha * current)

    def _clipped(self, tau: Tensor) -> Tensor:
        return tau if self.clip is None else tau.clamp(*self.clip)

    def of(self, name: str) -> Tensor | float:
        """τ of a tensor, on its device."""
        tau = self.tau.get(name if self.by_layer else "")
        return self.tau0 if tau is None else tau

    def mean(self) -> float:
        """Mean of τ over tensors, for the log; waits for the device."""
        if not self.tau:
            return self.tau0
        return torch.stack(list(self.tau.values())).mean().item()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        keys = ("tau0", "tau", "products", "squares")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.tau0 = state["tau0"]
        self.tau, self.products = dict(state["tau"]), dict(state["products"])
        self.squares = dict(state["squares"])


class OnlineCorrelation(GradientCorrelation):
    """τ by tensor from the last five steps or so: it follows the age of the snapshot."""

    def __init__(self, alpha: float, tau0: float, clip: Bounds) -> None:
        super().__init__(1.0, tau0, clip, by_layer=True)

    def regress(self, gradient: dict[str, Tensor], difference: dict[str, Tensor]) -> None:
        """Let the past fade, add one step, and take the outcome over at once."""
        self._add(gradient, difference, memory=MEMORY)
        for key in self.products:
            self.tau[key] = self._smoothed(key)

    def end_epoch(self, certain: bool = False, average: Average = _alone) -> None:
        """The memory goes on over epochs."""

    def renew(self) -> None:
        """Forget the old snapshot: at a new one g is q, so τ is 1 there."""
        self.tau0 = 1.0 if self.clip is None else min(max(1.0, self.clip[0]), self.clip[1])
        self.tau, self.products, self.squares = {}, {}, {}


def make_correlation(
    estimator: str, alpha: float, tau0: float, clip: Bounds
) -> LossCorrelation | GradientCorrelation:
    """The estimate named ``estimator``."""
    makers: dict[str, Callable[[], LossCorrelation | GradientCorrelation]] = {
        "loss": lambda: LossCorrelation(alpha, tau0, clip),
        "gradient": lambda: GradientCorrelation(alpha, tau0, clip, by_layer=False),
        "layer": lambda: GradientCorrelation(alpha, tau0, clip, by_layer=True),
        "online": lambda: OnlineCorrelation(alpha, tau0, clip),
    }
    if estimator not in makers:
        raise ValueError(f"unknown estimator {estimator!r} (known: {', '.join(makers)})")
    return makers[estimator]()
