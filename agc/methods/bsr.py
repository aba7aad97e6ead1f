"""BSR: Bayesian connectivity sampling, for robust training of sparse networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from agc.lazy import torch
from agc.methods.deepr import DeepR, Strength
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "bsr",
    family="sparse to sparse",
    source="ICML 2021, IGITUGraz/SparseAdversarialTraining",
    needs="a sign for each weight, the learning rate",
)
class BSR(DeepR):
    """Connections die as in DeepR, and are made anew across layers until their total is met.

    W = sign * relu(theta) with fixed signs; after each optimizer step the connected thetas get
    Langevin noise, those at or below 0 die, and each missing connection falls into a layer with a
    probability in proportion to its size, at an unconnected place, with theta = 1e-12. See
    :class:`~agc.methods.deepr.DeepR` for gradients, signs and momentum; there is no L1 by default.

    Departures: the official code makes fewer connections when a layer is full, and may lose a
    layer; here what finds no room is drawn again among the others, and a layer without a
    connection gets one first, so that the total is exact. Its densities at the start are a table
    for each network (here: the distribution), and its SGD keeps moving dead thetas by their
    momentum and decay (here they rest, as does all that is masked).

    Args:
        noise: standard deviation that ``noise_rule`` scales.
        noise_rule: ``bsr`` scales by the learning rate, as the official code does. ``agent``
            scales by sqrt(2 lr / batches of an epoch), and by 10 more in the second half of the
            training, as the fork in StevenBoys/AGENT does; :meth:`begin` learns the number of
            batches, which is 1 if it is not called.
        total_steps: optimizer steps of the whole training.
    """

    state = ("epoch_length",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        total_steps: int,
        l1: Strength = 0.0,
        noise: Strength = 1e-6,
        noise_rule: Literal["bsr", "agent"] = "bsr",
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, l1=l1, noise=noise, **options)
        self.total_steps = total_steps
        self.noise_rule = noise_rule
        self.epoch_length = 1

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Learn the number of batches of an epoch."""
        if hasattr(batches, "__len__"):
            self.epoch_length = len(batches)

    def noise_scale(self, name: str) -> float:
        """Standard deviation of this step's noise on a layer's thetas."""
        if self.noise_rule == "bsr":
            return super().noise_scale(name)
        late = 10.0 if 2 * self.steps > self.total_steps else 1.0
        return math.sqrt(2 * self.learning_rate(name) / self.epoch_length) * self.noise * late

    def births(self, dead: dict[str, int], active: dict[str, int]) -> dict[str, int]:
        """As many as died in all, spread over the layers at random in proportion to their size."""
        names = list(dead)
        sizes = {name: self.masks[name].numel() for name in names}
        born = {name: int(dead[name] == active[name]) for name in names}
        left = sum(dead.values()) - sum(born.values())
        generator = self.generator("layers")
        while left:
            room = {n: sizes[n] - active[n] + dead[n] - born[n] for n in names}
            weights = [float(sizes[n] if room[n] else 0) for n in names]
            draws = torch.multinomial(
                torch.tensor(weights), left, replacement=True, generator=generator
            )
            for name, drawn in zip(names, draws.bincount(minlength=len(names)), strict=True):
                given = min(int(drawn), room[name])
                born[name] += given
                left -= given
        return born
