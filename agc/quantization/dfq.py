"""DFQ: dynamic fractional quantization (Fu et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc import rng
from agc.cost.products import FULL, Products
from agc.lazy import torch
from agc.quantization.base import Quantization
from agc.quantization.shared.formats import Bits
from agc.quantization.shared.gateable import ungateable
from agc.registry import QUANTIZATIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PAIRS = ((3, 6), (4, 6), (4, 8), (6, 8), (6, 12))
"""Bits of activations and of errors that the gate chooses from."""

TERMS = 128 * 18
"""Images of a batch times blocks of ResNet-38: terms of the published sum of costs."""

Positive = Annotated[float, Field(gt=0)]


@QUANTIZATIONS.register("dfq", source="arXiv 2012.13113")
class DFQ(Quantization):
    """A gate chooses the bits of each image in each residual block, and the loss pays for them.

    The loss is that of the objective, plus ``beta`` times the cost of what was chosen if that is
    ``target`` or above, or minus it if it is below. Stem and classifier stay in float32.

    ``variant="corrected"`` mixes within layers: a batch norm sees the features that are used, once
    a step, and one product a layer goes into the graph. The cost that the loss has is the mean,
    times the number of terms of the paper's sum: it does not grow with batch and depth.
    ``published`` computes each block in all five pairs and mixes the outputs, so that running
    statistics move five times a step, over mixed precisions, and sums up the cost.

    Args:
        model: its residual blocks are converted in place, and it gets a module ``gate``.
        weights: bits of all weights in blocks.
        target: percent of float32's products, the mean over images and blocks.
        beta: of the cost in the loss.
        momentum: of the running mean of extremes, by which evaluation rounds activations.
        variant: which behaviour to follow.
        seed: of the gate's first weights.
    """

    off: ClassVar[dict[str, Any] | None] = None
    by_worker = False
    state = ("spent", "images")

    def __init__(
        self,
        model: Module,
        *,
        weights: Bits = 4,
        target: Positive = 3.0,
        beta: Annotated[float, Field(ge=0)] = 1e-3,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        variant: Literal["corrected", "published"] = "corrected",
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        # Not on top: planning reads every entry, and must not wait for torch.
        from agc.quantization.shared.mixture import gate_blocks

        self.published = variant == "published"
        # What the simulation makes: the chosen product, and one for each width of activations.
        self.simulated_passes = len(PAIRS) if self.published else 1 + len({a for a, _ in PAIRS})
        with rng.isolated(rng.derive(seed, "quantization/gate")):
            self.mixture, self.layers = gate_blocks(model, PAIRS, weights, momentum, self.published)
        self.target = target
        self.beta = beta
        self.passed, self.seen = -self.spent, -self.images
        """Cost and images of the epoch, but for those since the last settlement."""

    @property
    def spent(self) -> Tensor:
        """Cost of the passes in training since the last settlement, [blocks, 3]."""
        return self.mixture.spent

    @spent.setter
    def spent(self, value: Tensor) -> None:
        self.mixture.spent = value

    @property
    def images(self) -> int:
        """Images of these passes."""
        return self.mixture.images

    @images.setter
    def images(self, value: int) -> None:
        self.mixture.images = value

    def loss(self, loss: Callable[[Module, Any], Tensor], model: Module, batch: Any) -> Tensor:
        """The objective's loss, and what the chosen bits cost."""
        self.mixture.costs = []
        found = loss(model, batch)
        costs, self.mixture.costs = self.mixture.costs, []
        return found + self.penalty(torch.cat(costs)) if costs else found

    def penalty(self, costs: Tensor) -> Tensor:
        """The term of the loss: of costs by image and block, as shares of float32's."""
        mean = costs.mean()
        sign = torch.where(100 * mean.detach() < self.target, -1.0, 1.0)
        # The published sum has the three products of each image and block.
        weight = 3 * (costs.sum() if self.published else TERMS * mean)
        return sign * self.beta * weight

    def products(self) -> Mapping[str, Products]:
        """Mean over the images since the last settlement, by block."""
        weights = self.mixture.weights
        spent = (self.mixture.spent / max(self.mixture.images, 1)).tolist()
        found = {}
        for name, place in self.mixture.owners.items():
            forward, errors, gradients = spent[place]
            found[name] = Products(forward, 32 * weights / FULL, errors, gradients)
        return found

    def settled(self) -> None:
        """The mean begins anew."""
        self.passed, self.seen = self.of_epoch()
        self.spent, self.images = torch.zeros_like(self.spent), 0

    def begin_epoch(self) -> None:
        """Know what belongs to earlier epochs."""
        self.passed, self.seen = -self.spent, -self.images

    def of_epoch(self) -> tuple[Tensor, int]:
        """Cost of the epoch's passes in training, [blocks, 3], and their images."""
        return self.passed.to(self.spent.device) + self.spent, self.seen + self.images

    def diagnostics(self) -> dict[str, float]:
        """Mean bits of activations and of errors in the epoch."""
        passed, images = self.of_epoch()
        if not images:
            return {}
        by_layer = passed[list(self.mixture.owners.values())] * (FULL / self.mixture.weights)
        forward, errors, _ = (by_layer.mean(dim=0) / images).tolist()
        return {"forward_bits": forward, "backward_bits": errors}

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Other networks, and whatever a choice within the network confuses."""
        return ungateable(cell)
