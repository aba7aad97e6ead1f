"""Narrower networks: the first channels of every layer, by one width factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter


class Widths:
    """How many channels each layer of a narrower network has.

    Of n channels max(1, ⌊α n⌋) are kept, the first ones; all of the image's channels and of the
    classes.

    Args:
        model: has the layers.
        parameters: weights of convolutions and linear layers, by name, from the image to the
            classes.

    Raises:
        ValueError: a normalisation mixes channels, so that masked ones would count; or a weight is
            of another kind, as those of attention and of recurrent layers.
    """

    def __init__(self, model: Module, parameters: Mapping[str, Parameter]) -> None:
        _refuse_mixing(model)
        self.model = model
        self.shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        names = {id(p): name for name, p in parameters.items()}
        weighted = ((m, id(getattr(m, "weight", None))) for m in model.modules())
        self.layers = {names[key]: m for m, key in weighted if key in names}
        if missing := [name for name in parameters if name not in self.layers]:
            raise ValueError(
                f"{missing[0]!r} is no weight of a convolution or linear layer, so it has no "
                "channels that could be left out"
            )
        self.first, self.last = next(iter(self.shapes)), [*self.shapes][-1]

    def factors(self) -> list[Fraction]:
        """Every α at which a layer gains a channel, ascending."""
        widths = {n for layer in self.layers.values() for n in _channels(layer)}
        return sorted({Fraction(k, n) for n in widths for k in range(1, n + 1)})

    def size(self, alpha: Fraction) -> int:
        """Number of weights at width factor ``alpha``."""
        kernels = {name: math.prod(shape[2:]) for name, shape in self.shapes.items()}
        return sum(int(self._plane(n, alpha).sum()) * size for n, size in kernels.items())

    def planes(self, alpha: Fraction) -> dict[str, Tensor]:
        """Which pairs of channels are kept: boolean, [a, b, 1, …] for a weight [a, b, …]."""
        return {
            name: self._plane(name, alpha).reshape(*shape[:2], *[1] * (len(shape) - 2))
            for name, shape in self.shapes.items()
        }

    def kept(self, name: str, alpha: Fraction) -> tuple[int, int]:
        """Output and input channels that a layer keeps."""
        out, into = _channels(self.layers[name])
        return (
            out if name == self.last else _part(out, alpha),
            into if name == self.first else _part(into, alpha),
        )

    def vectors(self, alpha: Fraction) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """Biases and normalisation parameters, and boolean masks of their entries that are kept."""
        found: dict[str, Parameter] = {}
        masks: dict[str, Tensor] = {}
        names = {id(layer): name for name, layer in self.layers.items()}
        image, classes = self.kept(self.first, alpha)[1], self.kept(self.last, alpha)[0]
        seen = 0
        for prefix, module in self.model.named_modules():
            seen += id(module) in names
            for key, vector in module.named_parameters(prefix, recurse=False):
                width, size = _part(len(vector), alpha), len(vector)
                if id(module) in names:
                    width = self.kept(names[id(module)], alpha)[0]
                elif (seen, size) in ((0, image), (len(names), classes)):
                    width = size  # before the first layer, or after the last
                if vector.ndim == 1:
                    found[key] = vector
                    masks[key] = torch.arange(size, device=vector.device) < width
        return found, masks

    def _plane(self, name: str, alpha: Fraction) -> Tensor:
        layer, (height, width) = self.layers[name], self.shapes[name][:2]
        out, into = self.kept(name, alpha)
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        # In a grouped convolution a column stands for another channel in each group of rows.
        columns = rows // (height // getattr(layer, "groups", 1)) * width + columns
        if getattr(layer, "transposed", False):
            rows, columns = columns, rows
        return (rows < out) & (columns < into)


def _part(channels: int, alpha: Fraction) -> int:
    return max(1, channels * alpha.numerator // alpha.denominator)


def _channels(layer: Module) -> tuple[int, int]:
    if isinstance(layer, torch.nn.Linear):
        return layer.out_features, layer.in_features
    return layer.out_channels, layer.in_channels


def _refuse_mixing(model: Module) -> None:
    nn = torch.nn
    mixing = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
    for name, module in model.named_modules():
        if isinstance(module, mixing):
            raise ValueError(
                f"{name!r} ({type(module).__name__}) normalises over channels, so masks make no "
                "narrower network of this one; batch or instance normalisation would do"
            )
