"""From a number of weights to channels: how many it allows, and which of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from agc.lazy import torch
from agc.sparsity.channels import Channels, channel_masks
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import top_mask

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module


class ChannelBudget:
    """What a number of active weights means for the channels of a network.

    Channels have an order: layer by layer, as in ``channels``.

    Args:
        model: the network.
        channels: those that may be dropped, by the name of their layer.
        weights: all weights that count, by name.
        active: how many of them are to be active.
        generator: draws the order of equally probable channels of a layer.

    Raises:
        InfeasibleSparsityError: one channel in each layer leaves more weights than that.
    """

    def __init__(
        self,
        model: Module,
        channels: Mapping[str, Channels],
        weights: Mapping[str, Tensor],
        active: int,
        generator: Generator,
    ) -> None:
        self.model = model
        self.channels = channels
        self.weights = weights
        self.active = active
        self.sizes = np.array([group.size for group in channels.values()])
        self.layer = np.repeat(np.arange(len(self.sizes)), self.sizes)
        """Index of each channel's layer."""
        orders = [torch.randperm(size, generator=generator) / size for size in self.sizes.tolist()]
        self.ranks = torch.cat(orders).numpy()
        """Which share of its layer's channels comes before each, where all are as probable."""
        self.factors = {
            name: [i for i, group in enumerate(channels.values()) if name in group.weights()]
            for name in weights
        }
        """Layers whose channels multiply the number of each weight's elements."""
        least = self.count(np.ones_like(self.sizes))
        if active < least:
            total = sum(w.numel() for w in weights.values())
            raise InfeasibleSparsityError(
                f"sparsity {1 - active / total:.4g} is not possible by channels alone: with one in "
                f"each layer {least} of {total} weights are left, sparsity {1 - least / total:.4g}"
            )

    def count(self, kept: np.ndarray) -> int:
        """Number of weights with so many channels of each layer, [layers]."""
        total = 0
        for name, factors in self.factors.items():
            whole = math.prod(int(self.sizes[i]) for i in factors)
            total += self.weights[name].numel() // whole * math.prod(int(kept[i]) for i in factors)
        return total

    def share(self) -> float:
        """Share of the channels that leaves the active weights, the same in each layer."""
        from scipy.optimize import bisect

        def excess(share: float) -> float:
            counts = (w.numel() * share ** len(self.factors[n]) for n, w in self.weights.items())
            return sum(counts) - self.active

        return bisect(excess, 0.0, 1.0, xtol=1e-14)

    def split(self, kept: Tensor) -> dict[str, Tensor]:
        """A mask of all channels, by layer."""
        return dict(zip(self.channels, kept.split(self.sizes.tolist()), strict=True))

    def masks(self, kept: Tensor) -> dict[str, Tensor]:
        """Masks of all parameters that channels touch, from that of all channels, on the CPU."""
        return channel_masks(self.model, self.channels, self.split(kept))

    def best(self, probabilities: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks of all parameters that channels touch, whose number of weights is exact.

        The best channel of each layer is kept, then the most probable as long as they fit; of the
        next one the largest weights.

        Args:
            probabilities: of all channels, on the CPU.
            values: of the weights that channels touch.
        """
        order = np.lexsort((self.ranks, -probabilities.numpy()))
        _, firsts = np.unique(self.layer[order], return_index=True)
        order = np.concatenate([order[firsts], np.delete(order, firsts)])

        def weights_of(channels: int) -> int:
            layers = self.layer[order[:channels]]
            return self.count(np.bincount(layers, minlength=len(self.sizes)))

        numbers = range(len(self.sizes), len(order) + 1)
        fitting = numbers[bisect_right(numbers, self.active, key=weights_of) - 1]
        kept = torch.zeros(len(order), dtype=torch.bool)
        kept[order[:fitting]] = True
        masks = self.masks(kept)
        missing = self.active - weights_of(fitting)
        if not missing:
            return masks
        kept[order[fitting]] = True
        more = self.masks(kept)
        places = {name: more[name] & ~m for name, m in masks.items() if name in self.weights}
        sizes = torch.cat([values[name][place].abs() for name, place in places.items()])
        parts = top_mask(sizes, missing).split([int(place.sum()) for place in places.values()])
        for (name, place), part in zip(places.items(), parts, strict=True):
            more[name] = masks[name]
            more[name][place] = part
        return more
