"""Estimates of τ, the best coefficient of a control variate.

For one coefficient c the variance of g + c (u - q) is least at c* = Cov(g, q) / Var(q). Each
estimate is the slope of what batches show now on what they showed at the snapshot. The official
one compares losses in place of gradients; the others compare the gradients themselves, which a
training step has at hand anyway: as u is the mean of q, c* is about Σ <m - g, u - q> / Σ |u - q|²
for any fixed m. With m = u the noise of the estimate falls with that of g - q, to nothing where the
two points are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from agc.gradients.euclidean import as_real
from agc.gradients.lists import sums
from agc.lazy import torch
from agc.state import Stateful

if TYPE_CHECKING:
    from torch import Tensor

Seen = dict[str, "Tensor"]
"""Losses or gradients of one batch, by name."""

Bounds = tuple[float, float] | None

Average = Callable[[Seen], Seen]
"""Mean over the processes that share a global batch."""

MEMORY = 0.8
"""Weight of the past in the online estimate: about five steps."""


class Correlation(Stateful, ABC):
    """τ, estimated from pairs of what one batch shows now and at the snapshot."""

    compares: ClassVar[Literal["losses", "gradients"]]
    """What is to be observed: the losses of the pass, or the gradients of the steps."""

    @abstractmethod
    def observe(self, now: Seen, then: Seen) -> None:
        """See the same batch at the present and at the older weights."""

    @abstractmethod
    def end_epoch(self) -> None:
        """Take over what has been observed, as a new snapshot is about to be taken."""

    @abstractmethod
    def scaled(self, gamma: float, names: list[str]) -> dict[str, Tensor | float]:
        """γτ of each tensor, on the device that the estimate is made on."""

    @abstractmethod
    def mean(self) -> float:
        """τ, or its mean over tensors, for the log; waits for the device."""


class LossCorrelation(Correlation):
    """τ ← (1 - α) τ + α Cov(l, l') / Var(l'): losses of a pass at two points, an epoch apart.

    Args:
        alpha: weight of the newest epoch.
        tau0: before the first pass.
        clip: bounds of τ, or None.
        average: of the losses of several processes; they are averaged before they are compared.
    """

    compares = "losses"
    state = ("tau",)

    def __init__(self, alpha: float, tau0: float, clip: Bounds, average: Average) -> None:
        self.alpha = alpha
        self.tau = tau0
        self.clip = clip
        self.average = average
        self.losses: list[tuple[Tensor, Tensor]] = []

    def observe(self, now: Seen, then: Seen) -> None:
        """Note the losses of one batch."""
        self.losses.append((now["loss"], then["loss"]))

    def end_epoch(self) -> None:
        """Smooth by the estimate of the pass; losses that do not vary say nothing, and τ stays."""
        losses, self.losses = self.losses, []
        if len(losses) < 2:
            return
        slope = self._slope(losses)
        if slope is not None:
            self.tau = (1 - self.alpha) * self.tau + self.alpha * slope
        if self.clip is not None:
            self.tau = min(max(self.tau, self.clip[0]), self.clip[1])

    def _slope(self, losses: list[tuple[Tensor, Tensor]]) -> float | None:
        """Cov(l, l') / Var(l'), or None where l' does not vary."""
        table = torch.stack([torch.stack(column) for column in zip(*losses, strict=True)])
        table = self.average({"losses": table.double()})["losses"].cpu()
        # Losses that are all equal have a variance of exactly 0 only once they are shifted to 0.
        covariance = torch.cov(table - table[:, :1])
        variance = covariance[1, 1].item()
        return covariance[0, 1].item() / variance if variance > 0 else None

    def scaled(self, gamma: float, names: list[str]) -> dict[str, Tensor | float]:
        """One γτ for all tensors."""
        return dict.fromkeys(names, gamma * self.tau)

    def mean(self) -> float:
        """τ."""
        return self.tau


class GradientCorrelation(Correlation):
    """τ from gradients: sums over an epoch, smoothed over epochs with α.

    Observed gradients are averaged over processes already.

    Args:
        alpha: weight of the newest epoch.
        tau0: before the first epoch has ended.
        clip: bounds of τ, or None.
        by_layer: one τ for each tensor instead of one for all.
    """

    compares = "gradients"
    state = ("tau0", "tau", "products", "squares")

    def __init__(self, alpha: float, tau0: float, clip: Bounds, by_layer: bool) -> None:
        self.alpha = alpha
        self.tau0 = tau0
        self.clip = clip
        self.by_layer = by_layer
        self.tau: dict[str, Tensor] = {}
        self.products: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}

    def observe(self, now: Seen, then: Seen) -> None:
        """Add one step: m - g and u - q of each tensor."""
        self._add(now, then)

    def _add(self, now: Seen, then: Seen, memory: float = 1.0) -> None:
        if not then:
            return
        older = [as_real(tensor) for tensor in then.values()]
        present = [as_real(now[name]) for name in then]
        products = sums(torch._foreach_mul(present, older))
        squares = sums(torch._foreach_mul(older, older), signed=False)
        for total, new in ((self.products, products), (self.squares, squares)):
            if self.by_layer:
                zero = new.new_zeros(())
                past = torch.stack([total.get(name, zero) for name in then])
                total.update(zip(then, (memory * past + new).unbind(), strict=True))
            elif new.device.type == "cpu":  # in their order, as each addition rounds
                total[""] = sum(new.unbind(), memory * total.get("", 0.0))
            else:
                total[""] = memory * total.get("", 0.0) + new.sum()

    def end_epoch(self) -> None:
        """Smooth by the slope of the epoch's sums, and start new ones."""
        self._take_over()
        self.products, self.squares = {}, {}

    def _take_over(self) -> None:
        """τ ← (1 - α) τ + α Σ <m - g, u - q> / Σ |u - q|², within the bounds."""
        if not self.products:
            return
        product = torch.stack(list(self.products.values()))
        square = torch.stack([self.squares[key] for key in self.products])
        start = torch.full_like(product[0], self.tau0)
        old = torch.stack([self.tau.get(key, start) for key in self.products])
        # Where q never differs from u there is nothing to correct, and τ stays.
        slope = torch.where(square > 0, product / square, old)
        tau = (1 - self.alpha) * old + self.alpha * slope
        tau = tau if self.clip is None else tau.clamp(*self.clip)
        self.tau.update(zip(self.products, tau.unbind(), strict=True))

    def scaled(self, gamma: float, names: list[str]) -> dict[str, Tensor | float]:
        """γτ of each tensor, on the device that the estimate is made on."""
        if not self.by_layer:
            return dict.fromkeys(names, gamma * self.tau.get("", self.tau0))
        known = [name for name in names if name in self.tau]
        found = torch._foreach_mul([self.tau[n] for n in known], gamma) if known else []
        return dict.fromkeys(names, gamma * self.tau0) | dict(zip(known, found, strict=True))

    def mean(self) -> float:
        """Mean of τ over tensors; waits for the device."""
        if not self.tau:
            return self.tau0
        return torch.stack(list(self.tau.values())).mean().item()


class OnlineCorrelation(GradientCorrelation):
    """τ by tensor from the last five steps or so: it follows the age of the snapshot."""

    def __init__(self, tau0: float, clip: Bounds) -> None:
        super().__init__(1.0, tau0, clip, by_layer=True)

    def observe(self, now: Seen, then: Seen) -> None:
        """Let the past fade, add one step, and take the outcome over at once."""
        self._add(now, then, memory=MEMORY)
        self._take_over()

    def end_epoch(self) -> None:
        """Forget the old snapshot: at a new one g is q, so τ is 1 there."""
        self.tau0 = 1.0 if self.clip is None else min(max(1.0, self.clip[0]), self.clip[1])
        self.tau, self.products, self.squares = {}, {}, {}


def make_correlation(
    estimator: str, alpha: float, tau0: float, clip: Bounds, average: Average
) -> Correlation:
    """The estimate named ``estimator``.

    Raises:
        ValueError: no such estimator.
    """
    makers: dict[str, Callable[[], Correlation]] = {
        "loss": lambda: LossCorrelation(alpha, tau0, clip, average),
        "gradient": lambda: GradientCorrelation(alpha, tau0, clip, by_layer=False),
        "layer": lambda: GradientCorrelation(alpha, tau0, clip, by_layer=True),
        "online": lambda: OnlineCorrelation(tau0, clip),
    }
    if estimator not in makers:
        raise ValueError(f"unknown estimator {estimator!r} (known: {', '.join(makers)})")
    return makers[estimator]()
