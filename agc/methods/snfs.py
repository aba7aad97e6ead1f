"""SNFS: sparse networks from scratch, by sparse momentum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.gradients.lists import add_to, stacked
from agc.lazy import torch
from agc.methods.shared.annealed import Annealed
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register(
    "snfs",
    family="sparse to sparse",
    source="arXiv 1907.04840",
    needs="the dense gradient at every step, a dense momentum",
)
class SNFS(Annealed):
    """Momentum of the gradient at every weight decides where weights go, and which ones grow.

    At an update, as in TimDettmers/sparse_learning: each layer drops its smallest weights; layers
    share what has been dropped in proportion to the mean magnitude of the momentum at their
    weights that were active; each grows where the magnitude of the momentum is largest. A layer
    less than 0.2 sparse whose share is above the average drops no larger a fraction than its
    sparsity. A weight that is dropped and grown again keeps its value; other grown weights start
    at zero. The optimizer steps first. The momentum reads the raw gradient.

    Departures: the official code reads the optimizer's own buffers, which it never masks (for
    Adam their ratio); here it is a separate M <- momentum M + (1 - momentum) g, the paper's, and
    grown weights start with zero momentum in the optimizer. Official totals drift and are steered
    back, a layer takes no more than 0.99 of its room, and what that leaves goes to all layers
    alike; here only a full layer takes no more, the others share the rest in proportion, the total
    is exact, and a layer keeps at least one weight. Updates come every ``update_interval`` steps;
    there, after each epoch.

    Args:
        momentum: smoothing of the gradient.
    """

    state = ("smoothed",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.momentum = momentum
        self.smoothed = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.next: dict[str, Tensor] = {}
        """What the momentum is after the present step, if the optimizer makes it."""
        self.observed = False

    def observe(self, loss: Tensor | None = None) -> None:
        """Get ready to take the raw gradient into the momentum.

        Raises:
            RuntimeError: no weight that trains has one.
        """
        self.need_gradients()
        gradients = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        with torch.no_grad():
            faded = torch._foreach_mul(list(self.smoothed.values()), self.momentum)
            self.next = dict(zip(self.smoothed, faded, strict=True))
            new = list(gradients.values())
            add_to([self.next[name] for name in gradients], new, alpha=1 - self.momentum)
        self.observed = True
        self.dense_gradients += 1

    def count_step(self) -> None:
        """Take over the momentum of a step that was made."""
        super().count_step()
        if self.observed and not self.left_out():
            self.smoothed, self.next = self.next, {}
        self.observed = False

    def check_gradients(self) -> None:
        """Make sure that the momentum is finite.

        Raises:
            FloatingPointError: it is not.
        """
        self.must_be_finite(self.smoothed, "momentum")

    def grow_scores(self, name: str) -> Tensor:
        """Magnitude of the momentum."""
        return self.smoothed[name].abs()

    def update_topology(self) -> None:
        """Drop in each layer that trains, and grow as many in all."""
        trained = [name for name, p in self.parameters.items() if p.requires_grad]
        sizes = {name: self.masks[name].numel() for name in trained}
        active = self.active()
        shares = self.shares(trained)
        drop = {}
        for name in trained:
            fraction, sparsity = self.current_fraction(), 1 - active[name] / sizes[name]
            if sparsity < 0.2 and shares[name] > 1 / len(trained):
                fraction = min(fraction, sparsity)
            drop[name] = min(math.ceil(fraction * active[name]), active[name] - 1)
        room = {name: sizes[name] - active[name] + drop[name] for name in trained}
        grow = share_out(sum(drop.values()), shares, room)
        for name in trained:
            self.replace(name, drop[name], grow[name])

    def shares(self, names: list[str]) -> dict[str, float]:
        """Share of each layer in what is grown; equal ones if there is no momentum."""
        values = stacked(self._mean_score(name) for name in names).tolist()
        total = sum(values)
        if not total > 0:
            return dict.fromkeys(names, 1 / len(names))
        return {name: value / total for name, value in zip(names, values, strict=True)}

    def _mean_score(self, name: str) -> Tensor:
        """Mean over the active weights of a layer."""
        scores, mask = self.grow_scores(name), self.masks[name]
        if mask.device.type == "cpu":
            return scores[mask].double().mean()
        # To take them out by the mask would wait for the device, which has to count them.
        return torch.where(mask, scores, 0).sum(dtype=torch.float64) / self.active()[name]


def share_out(total: int, shares: dict[str, float], room: dict[str, int]) -> dict[str, int]:
    """Whole numbers in proportion to ``shares`` that sum to ``total``, none above its room.

    What a full one cannot take goes to the others in proportion; largest remainders come first.

    Args:
        total: at most the sum of ``room``.
        shares: not negative.
    """
    given: dict[str, float] = {}
    while True:
        rest = [name for name in shares if name not in given]
        left = total - sum(given.values())
        weight = sum(shares[name] for name in rest)
        # Without a weight left, by room: it is never less than what is left to give.
        by = shares if weight > 0 else room
        scale = left / (weight or sum(room[name] for name in rest) or 1)
        full = {name: float(room[name]) for name in rest if by[name] * scale >= room[name]}
        if not full or len(full) == len(rest):
            given |= {name: min(by[name] * scale, room[name]) for name in rest}
            break
        given |= full
    counts = {name: math.floor(value + 1e-9) for name, value in given.items()}
    order = sorted(given, key=lambda name: counts[name] - given[name])
    missing = total - sum(counts.values())
    while missing:
        for name in [n for n in order if counts[n] < room[n]][:missing]:
            counts[name] += 1
            missing -= 1
    return {name: counts[name] for name in shares}
