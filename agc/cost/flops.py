"""FLOPs of a forward pass weight by weight, by torch's counter, weighted with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from agc.gradients.modes import evaluating
from agc.sparsity.operations import watching


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
    """Count the FLOPs of one image, [1, C, H, W], weight by weight.

    FLOPs belong to the weight that an operation multiplies with, whichever module asks for it, as
    often as it does, and in slices too. A pass in one kernel that torch cannot count, as of
    attention or of a recurrent layer, counts as what it is computed from.

    Args:
        model: put into evaluation mode for the count, and back.
        image: one image on the model's device.
        parameters: prunable weights by name, as the method has them.
    """
    with evaluating(model), watching(model, parameters, image) as operations:
        model(image)
    layers, sizes = operations.flops, {name: p.numel() for name, p in parameters.items()}
    return LayerFlops(layers, sizes, float(operations.total) - sum(layers.values()))
