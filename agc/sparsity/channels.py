"""Channels that can leave a network: which they are, their masks, and taking them out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.channel_paths import follow, traced
from agc.sparsity.masks import apply_masks

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


def remove_channels(model: Module, masks: Mapping[str, Tensor]) -> Module:
    """A smaller copy of a network, with the outputs of the masked one up to rounding.

    A channel is removed if it is always zero (its weights, bias, and its batch norms' weight and
    bias are) or if nothing reads it (all weights that do are zero); that may leave others unread.
    Each layer keeps at least one channel.

    Args:
        model: any module that torch.fx can trace; it is left as it is.
        masks: of its weights, by name, as a method has them.

    Raises:
        ValueError: the network cannot be traced.
    """
    smaller = copy.deepcopy(model)
    parameters = dict(smaller.named_parameters())
    apply_masks(parameters, masks)
    channels = removable_channels(smaller)
    kept = {name: torch.ones(group.size, dtype=torch.bool) for name, group in channels.items()}
    while True:
        left = {name: _alive(smaller, group) for name, group in channels.items()}
        if all(torch.equal(left[name], kept[name]) for name in channels):
            break
        kept = left
        # Without a trace: what is dead is zero, or is not read. So its own inputs are not either.
        apply_masks(parameters, channel_masks(smaller, channels, kept))
    for name, group in channels.items():
        keep = kept[name].nonzero().flatten()
        _select(smaller.get_submodule(name), 0, keep)
        for norm in group.norms:
            _select(smaller.get_submodule(norm), 0, keep)
        for reader, inputs in group.readers.items():
            places = (keep.unsqueeze(1) * inputs + torch.arange(inputs)).flatten()
            _select(smaller.get_submodule(reader), 1, places)
    return smaller


def _alive(model: Module, group: Channels) -> Tensor:
    """Which channels are neither always zero nor unread, [size], on the CPU; at least one is."""
    weights = [model.get_parameter(name) for name in group.weights()]
    vectors = [model.get_parameter(name) != 0 for name in group.vectors(model)]
    sounds = torch.stack([weights[0].flatten(1).any(dim=1), *vectors]).any(dim=0)
    if not all(model.get_submodule(norm).affine for norm in group.norms):
        sounds.fill_(True)
    read = [w.transpose(0, 1).reshape(group.size, -1).any(dim=1) for w in weights[1:]]
    alive = (sounds & torch.stack(read).any(dim=0)).cpu()
    if not alive.any():
        alive[0] = True
    return alive


def _select(module: Module, dimension: int, places: Tensor) -> None:
    """Keep these places of a layer's outputs (dimension 0) or inputs (dimension 1)."""
    for kind in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(module, kind, None)
        if tensor is None or tensor.ndim <= dimension:
            continue
        part = tensor.detach().index_select(dimension, places.to(tensor.device))
        if isinstance(tensor, torch.nn.Parameter):
            part = torch.nn.Parameter(part, requires_grad=tensor.requires_grad)
        setattr(module, kind, part)
    outputs = ("out_channels", "out_features", "num_features")
    for attribute in outputs if dimension == 0 else ("in_channels", "in_features"):
        if hasattr(module, attribute):
            setattr(module, attribute, len(places))
