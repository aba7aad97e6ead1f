"""FLOPs of a forward pass layer by layer, by torch's counter, weighted with masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agc.gradients.modes import evaluating


@dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one forward pass of one image (a multiply-add is two).

    Attributes:
        layers: by name of the prunable weight, when dense.
        sizes: number of weights of each.
        rest: everything else.
    """

    layers: dict[str, float]
    sizes: dict[str, int]
    rest: float

    def forward(self, active: Mapping[str, int] | None = None) -> float:
        """With ``active`` weights in each layer; dense if None."""
        if active is None:
            return sum(self.layers.values()) + self.rest
        shares = (flops * active[name] / self.sizes[name] for name, flops in self.layers.items())
        return sum(shares) + self.rest


def layer_flops(model: nn.Module, image: Tensor, parameters: Mapping[str, Tensor]) -> LayerFlops:
    """Count the FLOPs of one image, [1, C, H, W], layer by layer.

    Args:
        model: put into evaluation mode for the count, and back.
        image: one image on the model's device.
        parameters: prunable weights by name, as the method has them.
    """
    # Without a graph the counter stumbles over a parameter that is a module's argument.
    counter = FlopCounterMode(display=False)
    with evaluating(model), torch.no_grad(), _detached(model), counter:
        model(image)
    counts = {name: float(sum(ops.values())) for name, ops in counter.get_flop_counts().items()}
    root = type(model).__name__
    layers = {
        name: counts.get(f"{root}.{name.removesuffix('.weight')}", 0.0) for name in parameters
    }
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    return LayerFlops(layers, sizes, counts.get("Global", 0.0) - sum(layers.values()))


@contextmanager
def _detached(model: nn.Module) -> Iterator[None]:
    """Have no parameter that asks for a gradient; afterwards each is as before."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
