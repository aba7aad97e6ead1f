"""Channels that are the same number whatever the image shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.channel_flow import ChannelFlow, padded_channels
from agc.sparsity.channel_paths import kind_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node
    from torch.nn import Module


def constants(flow: ChannelFlow, gone: Tensor) -> dict[Node, Tensor]:
    """What channels hold in evaluation mode, [channels], by the node that carries them.

    NaN stands for all channels that depend on the image. A masked neuron is constant, as it still
    has its bias and what batch norm makes of it; behind a ReLU that is often 0.

    Args:
        flow: of the network.
        gone: channels that do not reach a padding, boolean by number.
    """
    values: dict[Node, Tensor] = {}
    with torch.no_grad():
        for node, role in flow.roles.items():
            if role == "pad":
                value = torch.where(gone[flow.pads[node][0]], 0.0, values[node.args[0]])
                padding = padded_channels(node, flow.carried[node].dims) or (0, 0)
                values[node] = torch.nn.functional.pad(value, padding)
            else:
                values[node] = _value(flow, node, role, values)
    return values


def by_channel(layer: Module, channels: int) -> Tensor:
    """The weight of a layer as [outputs, channels it reads, weights of such a pair]; a view."""
    weight = layer.weight.detach()
    return weight.view(len(weight), channels, -1)


def meets_border(layer: Module) -> bool:
    """Whether a layer sees zeros beside the image, so that constant channels differ there."""
    if isinstance(layer, torch.nn.Linear) or layer.padding_mode != "zeros":
        return False
    return layer.padding == "same" or (layer.padding != "valid" and any(layer.padding))


def _value(flow: ChannelFlow, node: Node, role: str, values: dict[Node, Tensor]) -> Tensor:
    if role == "layer":
        layer = flow.modules[str(node.target)]
        read = flow.inputs.get(str(node.target))
        unknown = torch.full((layer.weight.shape[1],), torch.nan)
        return _of_layer(layer, unknown if read is None else values[node.all_input_nodes[0]])
    if role == "cat":
        return torch.cat([values[part] for part in node.args[0]])
    given = [values[source] for source in node.all_input_nodes]
    value = given[0]
    if role == "same":
        return value
    if role == "pooling":
        # Averages may count the zeros beside the image.
        averages = kind_of(node, flow.modules).startswith("avgpool")
        return torch.where(value == 0, 0.0, torch.nan) if averages else value
    result = _apply(flow, node, values, flow.carried[node].dims)
    unknown = torch.stack([v.isnan() for v in given]).any(dim=0)
    result = torch.where(unknown, torch.nan, result)
    if len(given) > 1 and "mul" in getattr(node.target, "__name__", str(node.target)):
        result[torch.stack([v == 0 for v in given]).any(dim=0)] = 0.0
    return result


def _of_layer(layer: Module, value: Tensor) -> Tensor:
    """Outputs of a layer, [outputs], whose channels have these values."""
    weight = by_channel(layer, len(value))
    known = value.nan_to_num().to(weight)
    result = (weight.sum(dim=2, dtype=torch.float64) @ known.double()).to(weight.dtype)
    if layer.bias is not None:
        result += layer.bias
    read = (weight != 0).any(dim=2)
    unknown = value.isnan() | ((known != 0) & meets_border(layer))
    return torch.where((read & unknown).any(dim=1), torch.nan, result)


def _apply(flow: ChannelFlow, node: Node, values: dict[Node, Tensor], dims: int) -> Tensor:
    """What a node makes of one pixel of each channel."""

    def pixels(source: Node) -> Tensor:
        value = values[source]
        # Two images: batch norm without running statistics refuses one.
        return value.reshape(1, -1, *[1] * dims).repeat(2, *[1] * (dims + 1))

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), pixels)
    if node.op == "call_module":
        result = flow.modules[str(node.target)](*args, **kwargs)
    elif node.op == "call_method":
        result = getattr(args[0], str(node.target))(*args[1:], **kwargs)
    else:
        result = node.target(*args, **kwargs)
    return result[0].flatten()
