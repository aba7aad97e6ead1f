"""Blocks whose layers compute each image in bits of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from agc.cost.products import FULL
from agc.errors import UserError
from agc.quantization.shared.affine import grid_with_zero, levels_of, nearest
from agc.quantization.shared.formats import FLOAT, Formats
from agc.quantization.shared.gate import Gate
from agc.quantization.shared.layers import GATE, QuantizedLayer, convert, drawn_seed
from agc.quantization.shared.rounding import rounding_errors, to_grid

Pairs = tuple[tuple[int, int], ...]


class Mixture:
    """What the blocks of a network and their layers share; one object for all copies.

    Attributes:
        pairs: bits of activations and of errors, which are chosen from.
        weights: bits of weights.
        choice: of the block that computes at the moment, [N, pairs], one-hot.
        fixed: the pair that all images have where nothing was chosen for each.
        owners: number of the block of each weight, by name.
        costs: of each image in each block of the passes in training, as shares of three products in
            float32, with a graph.
        spent: the same by block, summed over images: forward, errors, gradients.
        images: which went through.
    """

    def __init__(self, pairs: Pairs, weights: int, blocks: int) -> None:
        self.pairs = pairs
        self.weights = weights
        self.choice: Tensor | None = None
        self.fixed = 0
        self.owners: dict[str, int] = {}
        self.costs: list[Tensor] = []
        self.spent = torch.zeros(blocks, 3, dtype=torch.float64)
        self.images = 0

    def __deepcopy__(self, memo: object) -> Mixture:
        return self

    @contextmanager
    def chosen(self, choice: Tensor | None, fixed: int = 0) -> Iterator[None]:
        """Layers compute by this choice, or all images by one pair."""
        self.choice, self.fixed = choice, fixed
        try:
            yield
        finally:
            self.choice, self.fixed = None, 0

    def note(self, block: int, choice: Tensor) -> None:
        """Count a block's pass in training."""
        products = tuple((a * self.weights, e * self.weights, a * e) for a, e in self.pairs)
        spent = choice @ (_table(products, choice.dtype, choice.device) / FULL)
        self.costs.append(spent.sum(dim=1) / 3)
        self.spent = self.spent.to(choice.device)
        self.spent[block] += spent.detach().sum(dim=0)
        self.images += len(choice) if block == 0 else 0

    def levels(self, which: int, like: Tensor) -> float | Tensor:
        """Steps of the grid of activations (0) or errors (1): one number, or one for each image."""
        steps = tuple(float(levels_of(pair[which])) for pair in self.pairs)
        if self.choice is None:
            return steps[self.fixed]
        chosen = self.choice.detach() @ _table(steps, like.dtype, like.device)
        return chosen.view(-1, *[1] * (like.ndim - 1))


@cache
def _table(numbers: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers on the device, brought there once: the host waits for each that it brings."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype).to(device)


class MixedLayer(QuantizedLayer):
    """Rounds the input and the errors of each image to bits of its own.

    The forward pass makes one product, of what was chosen. What the gate learns by, the outputs in
    the bits that were not chosen, is computed beside it, without a graph.
    """

    mixture: Mixture

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer computes, of operands in the bits of the moment."""
        mixture, weight, ends = self.mixture, self.rounded_weight(), self.input_ends(inputs)
        choice = mixture.choice
        grid = grid_with_zero(*ends, mixture.levels(0, inputs))
        outputs = self.product(to_grid(inputs, grid), weight)
        if choice is not None and choice.requires_grad:
            bits = [activations for activations, _ in mixture.pairs]
            with torch.no_grad():
                others = {
                    b: self.product(nearest(inputs, grid_with_zero(*ends, levels_of(b))), weight)
                    for b in set(bits)
                }
            outputs = _Choice.apply(outputs, choice, *(others[b] for b in bits))
        if self.training:
            outputs = rounding_errors(outputs, mixture.levels(1, outputs), drawn_seed())
        return outputs


class _Choice(torch.autograd.Function):
    """The outputs as they are; the gradient reaches the choice by what each pair would give."""

    @staticmethod
    def forward(context: Any, outputs: Tensor, choice: Tensor, *others: Tensor) -> Tensor:
        context.save_for_backward(*others)
        return outputs.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        others = context.saved_tensors
        # A pair's part is the change of the loss if the outputs were mixed from all pairs.
        by_pair = [(gradient * other).flatten(1).sum(dim=1) for other in others]
        return gradient, torch.stack(by_pair, dim=1), *[None] * len(others)


class GatedBlock:
    """What goes before a kind of block: a gate chooses the bits of each image by what the block
    gets.

    Attributes:
        gate: of all blocks.
        place: number of the block.
        mixture: of all blocks.
        apart: whether the block computes once for each pair and mixes its outputs, as the published
            code does, so that each batch norm notices as many batches; else its layers mix.
    """

    gate: Gate
    place: int
    mixture: Mixture
    apart: bool

    def forward(self, inputs: Tensor) -> Tensor:
        """What the block computes, in the bits that the gate chooses."""
        choice, mixture = self.gate(self.place, inputs), self.mixture
        if self.training:
            mixture.note(self.place, choice)
        if not self.apart:
            with mixture.chosen(choice):
                return super().forward(inputs)
        outputs = []
        for pair in range(len(mixture.pairs)):
            with mixture.chosen(None, pair):
                outputs.append(super().forward(inputs))
        shape = (-1, *[1] * (outputs[0].ndim - 1))
        parts = zip(choice.unbind(dim=1), outputs, strict=True)
        return sum(weight.view(shape) * output for weight, output in parts)

    def to_float(self) -> None:
        """Be the block of before again."""
        for name in ("gate", "place", "mixture", "apart"):
            del vars(self)[name]
        self.__class__ = type(self).__bases__[1]


def gate_blocks(
    model: nn.Module, mixture_of: Pairs, weights: int, momentum: float, apart: bool
) -> tuple[Mixture, dict[str, nn.Module]]:
    """Have a gate choose the bits in each residual block of a network, in place.

    The gate is a module of the model, :data:`GATE`; stem, classifier and whatever else is outside
    of blocks stay in float32.

    Args:
        model: holds its blocks in a ``Sequential`` that is called ``blocks``.
        mixture_of: pairs of bits.
        weights: bits of weights.
        momentum: of the running mean of extremes.
        apart: see :class:`GatedBlock`.

    Returns:
        What blocks share, and the quantised layers by name of their weight.

    Raises:
        UserError: there are no such blocks.
    """
    found = [
        (f"{path}.blocks" if path else "blocks", module.blocks)
        for path, module in model.named_modules()
        if isinstance(getattr(module, "blocks", None), nn.Sequential)
    ]
    if len(found) != 1:
        raise UserError("quantization: the network has no list of residual blocks to gate")
    (path, blocks), mixture = found[0], Mixture(mixture_of, weights, len(found[0][1]))
    device = next(model.parameters()).device
    gate = Gate([_channels(block) for block in blocks], len(mixture_of)).to(device)
    layers: dict[str, nn.Module] = {}
    for place, block in enumerate(blocks):
        formats = Formats(FLOAT, weights, FLOAT)
        own = convert(block, formats, momentum, (), MixedLayer, mixture=mixture)
        mixture.owners |= dict.fromkeys([f"{path}.{place}.{name}" for name in own], place)
        layers |= {f"{path}.{place}.{name}": layer for name, layer in own.items()}
        block.__class__ = _gated(type(block))
        vars(block).update(gate=gate, place=place, mixture=mixture, apart=apart)
    model.add_module(GATE, gate)
    return mixture, layers


@cache
def _gated(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Gated{kind.__name__}", (GatedBlock, kind), {})


def _channels(block: nn.Module) -> int:
    """Channels that a block gets."""
    return next(m.in_channels for m in block.modules() if isinstance(m, nn.Conv2d))
