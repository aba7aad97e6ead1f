"""Which of a layer's weights go to the same neuron: its weight as [neurons, fan-in, …]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter


@dataclass(frozen=True)
class Neurons:
    """How the weights of one layer belong to its neurons (units, filters, output channels).

    A linear layer and a convolution have a neuron in each row of dimension 0. A transposed
    convolution has weights [in, out / groups, …]: the rows fall into ``groups`` blocks, and output
    channel g · out / groups + j reads column j of block g.

    Attributes:
        groups: of a transposed convolution; 0 for all that has its neurons in dimension 0.
    """

    groups: int = 0

    def rows(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's shape as [neurons, fan-in channels, kernel…]: the tensor itself
        where it is that already.
        """
        if not self.groups:
            return tensor
        blocks = tensor.reshape(self.groups, -1, *tensor.shape[1:])  # [g, in / g, out / g, …]
        return blocks.transpose(1, 2).flatten(0, 1)

    def back(self, rows: Tensor) -> Tensor:
        """What :meth:`rows` gave, or a tensor of its shape, in the weight's own shape."""
        if not self.groups:
            return rows
        blocks = rows.reshape(self.groups, -1, *rows.shape[1:])
        return blocks.transpose(1, 2).flatten(0, 1)


def neurons(model: Module, parameters: Mapping[str, Parameter]) -> dict[str, Neurons]:
    """How the weights of each of ``parameters`` belong to neurons, by name.

    Where modules share a weight, a linear layer or a convolution among them decides, the first if
    there are several. What belongs to neither, such as an embedding or a table of positions, is
    taken row by row of dimension 0.
    """
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    groups: dict[int, int] = {}
    for module in model.modules():
        if isinstance(module, kinds):
            transposed = getattr(module, "transposed", False)
            groups.setdefault(id(module.weight), module.groups if transposed else 0)
    return {name: Neurons(groups.get(id(p), 0)) for name, p in parameters.items()}


def row_shapes(
    layouts: Mapping[str, Neurons], tensors: Iterable[tuple[str, Tensor]]
) -> dict[str, tuple[int, ...]]:
    """Shape of each weight as [neurons, fan-in channels, kernel…]."""
    return {
        name: tuple(layouts[name].rows(torch.empty(t.shape, device="meta")).shape)
        for name, t in tensors
    }
