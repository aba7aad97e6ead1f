"""Small networks: channels that mean nothing are taken out of a masked one."""

from __future__ import annotations

import copy
import operator
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.channel_constants import by_channel, constants, meets_border
from agc.sparsity.channel_flow import ChannelFlow, padded_channels
from agc.sparsity.masks import apply_masks

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node
    from torch.nn import Module


@dataclass(frozen=True)
class SmallNetwork:
    """A network without its empty channels.

    Attributes:
        network: in evaluation mode; its layers have the names that they had.
        before: number of output channels by layer.
        after: number of those that are left.
        whole: layers that keep all of theirs, whatever the masks are, and what of the network's
            graph needs them.
    """

    network: GraphModule
    before: dict[str, int]
    after: dict[str, int]
    whole: dict[str, str]

    @property
    def removed(self) -> int:
        """Number of channels that are gone."""
        return sum(self.before.values()) - sum(self.after.values())


def remove_channels(model: Module, masks: Mapping[str, Tensor]) -> SmallNetwork:
    """A smaller network with the outputs that a masked one has in evaluation mode, up to rounding.

    A channel goes if every layer that reads it sees nothing but zeros there, or has no weight for
    it; that may leave others unread. A neuron whose weights are all masked goes on to say what its
    bias and batch norm make of nothing, the same for all images. One such channel is enough for a
    layer that pads its images, and none for all others, which have a bias for it. Channels that
    additions, products or paddings tie together go together. Each layer keeps at least one.

    Args:
        model: any module that torch.fx can trace; it is left as it is.
        masks: of its weights, by name, as a method has them.

    Raises:
        ValueError: the network cannot be traced.
    """
    smaller = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()
    apply_masks(dict(smaller.named_parameters()), {n: mask.cpu() for n, mask in masks.items()})
    flow = ChannelFlow(smaller)
    gone = _empty(flow, torch.zeros_like(flow.whole))
    _merge_constants(flow, gone)
    gone = _empty(flow, gone)
    padded = (outside for _, outside in flow.pads.values())
    for channels in (*flow.outputs.values(), *flow.inputs.values(), *padded):
        if gone[channels].all():
            gone[channels[0]] = False
    before = {name: len(channels) for name, channels in flow.outputs.items()}
    _take_out(flow, ~gone)
    after = {name: len(flow.modules[name].weight) for name in before}
    network = torch.fx.GraphModule(smaller, flow.graph, type(model).__name__)
    if _channels_come_last(model):
        network = network.to(memory_format=torch.channels_last)
    return SmallNetwork(network.eval(), before, after, flow.reasons)


def _empty(flow: ChannelFlow, gone: Tensor) -> Tensor:
    """Channels that no layer needs, boolean by number; their weights are set to zero.

    Args:
        flow: of the network.
        gone: those that are known already.
    """
    while True:
        needed = flow.whole.clone()
        values = constants(flow, gone)
        for name, value in _read(flow, values).items():
            used = (by_channel(flow.modules[name], len(value)) != 0).any(dim=2).any(dim=0)
            needed[flow.inputs[name][used & (value != 0)]] = True
        for _ in flow.pads:  # as often as one may follow another
            for node, (inside, outside) in flow.pads.items():
                start = _start(flow, node)
                behind = needed[outside[start : start + len(inside)]]
                needed[inside[behind & (values[node.args[0]] != 0)]] = True
        now = gone | ~needed
        if torch.equal(now, gone):
            return gone
        gone = now
        # What is not needed reads nothing: then others may not be needed either.
        for name, channels in flow.inputs.items():
            by_channel(flow.modules[name], len(channels))[:, gone[channels]] = 0
        for name, channels in flow.outputs.items():
            for tensor in (flow.modules[name].weight, flow.modules[name].bias):
                if tensor is not None:
                    tensor.detach()[gone[channels]] = 0


def _merge_constants(flow: ChannelFlow, gone: Tensor) -> None:
    """Leave at most one constant channel among those that the same layers read."""
    everywhere = constants(flow, gone)
    values = _read(flow, everywhere)
    seen: dict[int, dict[str, int]] = defaultdict(dict)
    varies = flow.whole | gone
    for node, (inside, _) in flow.pads.items():
        varies[inside[everywhere[node.args[0]] != 0]] = True
    for name, channels in flow.inputs.items():
        for place, channel in enumerate(channels.tolist()):
            varies[channel] |= values[name][place].isnan() | (name in seen[channel])
            seen[channel][name] = place
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for channel, places in seen.items():
        if not varies[channel]:
            groups[tuple(places)].append(channel)
    for readers, channels in groups.items():
        places = {name: torch.tensor([seen[c][name] for c in channels]) for name in readers}
        found = torch.stack([values[name][places[name]].double() for name in readers])
        if not any(meets_border(flow.modules[name]) for name in readers):
            for name, value in zip(readers, found, strict=True):
                _put_into_bias(flow.modules[name], len(values[name]), places[name], value)
            continue
        # The largest stands for the others: factors below 1 raise no rounding errors.
        best = int(found.abs().amin(dim=0).argmax())
        one = found[:, best : best + 1]
        fits = ((one != 0) | (found == 0)).all(dim=0)
        fits[best] = False
        factors = torch.where(found == 0, 0.0, found / one)[:, fits]
        for name, factor in zip(readers, factors, strict=True):
            weight = by_channel(flow.modules[name], len(values[name]))
            others = weight[:, places[name][fits]].double()
            weight[:, places[name][best]] += torch.einsum("ock,c->ok", others, factor).to(weight)
            weight[:, places[name][fits]] = 0


def _read(flow: ChannelFlow, values: Mapping[Node, Tensor]) -> dict[str, Tensor]:
    """What each layer reads, [channels]."""
    readers = (node for node in flow.roles if str(node.target) in flow.inputs)
    return {str(node.target): values[node.all_input_nodes[0]] for node in readers}


def _start(flow: ChannelFlow, node: Node) -> int:
    """Number of empty channels that a padding puts before the others."""
    return (padded_channels(node, flow.carried[node].dims) or (0, 0))[0]


def _put_into_bias(layer: Module, channels: int, places: Tensor, value: Tensor) -> None:
    weight = by_channel(layer, channels)
    said = weight[:, places].sum(dim=2, dtype=torch.float64) @ value
    weight[:, places] = 0
    if layer.bias is None:
        layer.bias = torch.nn.Parameter(torch.zeros_like(weight[:, 0, 0]))
    layer.bias.detach().add_(said.to(weight))


def _take_out(flow: ChannelFlow, kept: Tensor) -> None:
    """Shorten all tensors, and what the graph pads with, to the channels that are left."""
    for name, channels in (*flow.outputs.items(), *flow.norms.items()):
        _select(flow.modules[name], 0, kept[channels].nonzero().flatten())
    for name, channels in flow.inputs.items():
        inputs = flow.modules[name].weight.shape[1] // len(channels)
        _select(flow.modules[name], 1, kept[channels].repeat_interleave(inputs).nonzero().flatten())
    for node, (inside, outside) in flow.pads.items():
        places = torch.where(kept[inside], kept[inside].cumsum(0) - 1, -1)
        start = _start(flow, node)
        places = torch.nn.functional.pad(
            places, (start, len(outside) - start - len(inside)), value=-1
        )
        _pad(flow, node, places[kept[outside]].tolist(), int(kept[inside].sum()))


def _pad(flow: ChannelFlow, node: Node, places: list[int], channels: int) -> None:
    """Let a node give these of its channels, where -1 stands for an empty one."""
    zeros = [0, 0] * flow.carried[node].dims
    before = places.index(0) if 0 in places else len(places)
    after = len(places) - before - channels
    node.kwargs = {}
    if places == [*[-1] * before, *range(channels), *[-1] * after]:
        node.args = (node.args[0], [*zeros, before, after])
        return
    node.args = (node.args[0], [*zeros, 0, 1])
    with flow.graph.inserting_after(node):
        chosen = flow.graph.call_function(operator.getitem, (node, (slice(None), places)))
    node.replace_all_uses_with(chosen, lambda user: user is not chosen)


def _channels_come_last(model: Module) -> bool:
    """Whether weights of convolutions are laid out pixel by pixel, which is faster in places."""
    weights = (p for p in model.parameters() if p.ndim == 4 and not p.is_contiguous())
    return any(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def _select(module: Module, dimension: int, places: Tensor) -> None:
    """Keep these places of a layer's outputs (dimension 0) or inputs (dimension 1)."""
    for kind in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(module, kind, None)
        if tensor is None or tensor.ndim <= dimension:
            continue
        part = tensor.detach().index_select(dimension, places)
        if isinstance(tensor, torch.nn.Parameter):
            part = torch.nn.Parameter(part, requires_grad=tensor.requires_grad)
        setattr(module, kind, part)
    outputs = ("out_channels", "out_features", "num_features")
    for attribute in outputs if dimension == 0 else ("in_channels", "in_features"):
        if hasattr(module, attribute):
            setattr(module, attribute, len(places))
