"""Which channels of a network are one and the same, wherever they are made, added and read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agc.lazy import torch
from agc.sparsity.channel_paths import (
    ACTIVATIONS,
    POOLINGS,
    averages,
    flattens_all,
    is_layer,
    is_norm,
    kind_of,
    traced,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node
    from torch.nn import Module

POINTWISE = ACTIVATIONS | {"sigmoid", "hardsigmoid", "logsigmoid", "softplus", "hardtanh", "clamp"}
"""What acts on each number."""

ARITHMETIC = (operator.add, operator.iadd, operator.sub, operator.mul, operator.imul)
"""Of two tensors channel by channel, or of a tensor and a number."""


@dataclass(frozen=True)
class Carried:
    """The channels in the output of a node.

    Attributes:
        numbers: one for each channel.
        dims: dimensions of the image behind them; 0 where channels come last, each with as many
            entries as its image had when it was flattened.
    """

    numbers: tuple[int, ...]
    dims: int


class ChannelFlow:
    """Numbers for the channels of a network; what must be removed together has one number.

    Channels meet where tensors are added or multiplied, and stand side by side where they are
    joined. Padding gives new ones, since what is empty before it may be filled behind it. What is
    not understood (shuffles, slices of channels, grouped convolutions) keeps its channels whole.

    Args:
        model: any module that torch.fx can trace; in evaluation mode.

    Attributes:
        graph: of the network.
        modules: by all their names.
        roles: of each node whose output carries channels.
        carried: these channels.
        outputs: numbers of a layer's outputs, [outputs], by its name.
        inputs: of a layer's inputs, [inputs], where they are known.
        norms: of a batch norm's, [channels].
        pads: of what a node is given that pads with empty channels, and of its output.
        whole: boolean, by number: channels that must stay.
        reasons: node of the graph for which a layer keeps all of its outputs, by its name.

    Raises:
        ValueError: the network cannot be traced.
    """

    def __init__(self, model: Module) -> None:
        self.graph = traced(model)
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.roles: dict[Node, str] = {}
        self.carried: dict[Node, Carried] = {}
        self._same: list[int] = []
        self._why: dict[int, str] = {}
        made: dict[str, tuple[int, ...]] = {}
        read: dict[str, tuple[int, ...]] = {}
        normed: dict[str, tuple[int, ...]] = {}
        for node in self.graph.nodes:
            name, sources = str(node.target), [self.carried.get(n) for n in node.all_input_nodes]
            role, carried = self._role(node, [s for s in sources if s is not None])
            if role == "layer":
                if self._reads(node, sources):
                    read[name] = sources[0].numbers
                made[name] = carried.numbers
            elif role == "norm":
                normed[name] = carried.numbers
            if carried is not None:
                self.roles[node], self.carried[node] = role, carried
            if carried is None or (role == "layer" and name not in read):
                self._keep(sources, "output" if node.op == "output" else node.name)
        self.outputs = {name: self._numbers(channels) for name, channels in made.items()}
        self.inputs = {name: self._numbers(channels) for name, channels in read.items()}
        self.norms = {name: self._numbers(channels) for name, channels in normed.items()}
        self.pads = {
            node: tuple(self._numbers(self.carried[n].numbers) for n in (node.args[0], node))
            for node, role in self.roles.items()
            if role == "pad"
        }
        self.whole = torch.zeros(len(self._same), dtype=torch.bool)
        why = {self._first(number): text for number, text in self._why.items()}
        self.whole[list(why)] = True
        firsts = {name: next(iter(c.tolist()), None) for name, c in self.outputs.items()}
        self.reasons = {name: why[first] for name, first in firsts.items() if first in why}

    def _role(self, node: Node, known: list[Carried]) -> tuple[str, Carried | None]:
        """What a node does to channels, and what its output carries; None if not understood."""
        if is_layer(node, self.graph, self.modules):
            weight = self.modules[str(node.target)].weight
            return "layer", Carried(self._new(len(weight)), weight.ndim - 2)
        if not known or len(known) != len(node.all_input_nodes):
            return "other", None
        first, kind = known[0], kind_of(node, self.modules)
        if kind == "cat":
            if all(c.dims for c in known) and _argument(node, 1, "dim") == 1:
                parts = (self.carried[n].numbers for n in node.args[0])
                return "cat", Carried(tuple(n for part in parts for n in part), first.dims)
            return "other", None
        if node.target in ARITHMETIC or kind in ("add", "sub", "mul"):
            return "arithmetic", self._joined(node)
        if len(known) > 1 or node.args[:1] != (node.all_input_nodes[0],):
            return "other", None
        if is_norm(node, self.graph, self.modules):
            fits = self.modules[str(node.target)].num_features == len(first.numbers)
            return ("norm", first) if fits else ("other", None)
        if kind in POINTWISE:
            return "pointwise", first
        if first.dims and (kind in POOLINGS or _slices_image(node)):
            return "pooling", first
        if kind == "flatten" and flattens_all(node, self.modules):
            return "same", Carried(first.numbers, 0)
        if kind == "mean" and first.dims and averages(node, first.dims + 2):
            keeps = node.kwargs.get("keepdim", False)
            return "same", Carried(first.numbers, first.dims if keeps else 0)
        if kind == "pad" and first.dims and padded_channels(node, first.dims) is not None:
            more = sum(padded_channels(node, first.dims) or ())
            return "pad", Carried(self._new(len(first.numbers) + more), first.dims)
        return "other", None

    def _joined(self, node: Node) -> Carried | None:
        """Of two tensors with the same channels, or of one and a number."""
        if len(node.args) != 2 or node.kwargs:
            return None
        found = [self.carried[a] for a in node.args if a in self.carried]
        if any(c.dims != found[0].dims or len(c.numbers) != len(found[0].numbers) for c in found):
            return None
        for one, other in zip(found[0].numbers, found[-1].numbers, strict=True):
            self._same[self._first(other)] = self._first(one)
        return found[0]

    def _reads(self, node: Node, sources: list[Carried | None]) -> bool:
        """Whether each input of a layer belongs to a channel that is known."""
        if len(sources) != 1 or sources[0] is None:
            return False
        layer, source = self.modules[str(node.target)], sources[0]
        inputs, rest = divmod(layer.weight.shape[1], len(source.numbers))
        linear = isinstance(layer, torch.nn.Linear)
        return not rest and linear == (not source.dims) and (linear or inputs == 1)

    def _keep(self, sources: list[Carried | None], reason: str) -> None:
        for source in sources:
            self._why.update((number, reason) for number in (source.numbers if source else ()))

    def _new(self, count: int) -> tuple[int, ...]:
        numbers = range(len(self._same), len(self._same) + count)
        self._same += numbers
        return tuple(numbers)

    def _first(self, number: int) -> int:
        while self._same[number] != number:
            number = self._same[number]
        return number

    def _numbers(self, numbers: tuple[int, ...]) -> Tensor:
        return torch.tensor([self._first(number) for number in numbers], dtype=torch.long)


def padded_channels(node: Node, dims: int) -> tuple[int, int] | None:
    """Empty channels that a padding with zeros puts before and after; None if it pads images."""
    pad = _argument(node, 1, "pad")
    if _argument(node, 2, "mode") not in (None, "constant") or _argument(node, 3, "value"):
        return None
    if not isinstance(pad, tuple | list) or len(pad) != 2 * dims + 2 or any(pad[:-2]):
        return None
    return (pad[-2], pad[-1]) if min(pad[-2:]) >= 0 else None


def _argument(node: Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


def _slices_image(node: Node) -> bool:
    """``x[:, :, a:b, ::c]``, which takes some pixels of all channels."""
    if node.target is not operator.getitem or not isinstance(node.args[1], tuple):
        return False
    index, everything = node.args[1], slice(None)
    return index[:2] == (everything, everything) and all(isinstance(i, slice) for i in index)
