"""Channels that can leave a network one by one: which they are, and their masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.channel_paths import follow, traced

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass(frozen=True)
class Channels:
    """The output channels of one layer, each of which can be removed without a trace.

    Attributes:
        producer: name of the convolution or linear layer.
        size: number of channels.
        norms: names of the normalisations that the channels pass.
        readers: names of the layers that read them -> inputs a channel has there (more than one
            where the image of a channel is flattened).
    """

    producer: str
    size: int
    norms: tuple[str, ...]
    readers: dict[str, int]

    def weights(self) -> list[str]:
        """Names of the weights that lose something with a channel."""
        return [f"{name}.weight" for name in (self.producer, *self.readers)]

    def vectors(self, model: Module) -> list[str]:
        """Names of the bias and of the normalisations' parameters, each [size]."""
        names = [f"{self.producer}.bias"]
        names += [f"{norm}.{kind}" for norm in self.norms for kind in ("weight", "bias")]
        present = {name for name, _ in model.named_parameters()}
        return [name for name in names if name in present]


def removable_channels(model: Module) -> dict[str, Channels]:
    """Layers whose output channels can be removed one by one, by the name of the layer.

    A channel counts if it goes through batch norms, activations that keep zero, and pooling, to
    convolutions and linear layers alone: without additions, concatenations or anything else on
    the way, and not to the output. Then a network whose channel is masked (weights, biases, batch
    norm's weight and bias) computes what the network without it does.

    Raises:
        ValueError: the network cannot be traced by torch.fx.
    """
    graph = traced(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    found = {}
    for node in graph.nodes:
        path = follow(node, graph, modules)
        if path is not None:
            name = str(node.target)
            found[name] = Channels(name, len(modules[name].weight), *path)
    return found


def channel_masks(
    model: Module, channels: Mapping[str, Channels], kept: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Boolean masks of all parameters that some of these channels touch, by parameter name.

    Args:
        model: any module.
        channels: what :func:`removable_channels` found, or some of it.
        kept: boolean, [size], for each of them.
    """
    masks: dict[str, Tensor] = {}
    for name, group in channels.items():
        keep = kept[name]
        shaped = [(vector, keep) for vector in group.vectors(model)]
        shaped.append((f"{group.producer}.weight", keep.unsqueeze(1)))
        for reader, inputs in group.readers.items():
            shaped.append((f"{reader}.weight", keep.repeat_interleave(inputs).unsqueeze(0)))
        for tensor, mask in shaped:
            parameter = model.get_parameter(tensor)
            mask = mask.to(parameter.device)
            mask = mask.reshape(mask.shape + (1,) * (parameter.ndim - mask.ndim))
            before = masks.get(tensor)
            full = torch.ones_like(parameter, dtype=torch.bool) if before is None else before
            masks[tensor] = full & mask
    return masks
