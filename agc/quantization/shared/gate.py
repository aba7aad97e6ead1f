"""The network that chooses bits: a recurrent cell that goes through the blocks with the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDED, HIDDEN = 32, 16


class Gate(nn.Module):
    """For each block and image one of several choices, by what the block gets (FracTrain's code,
    ``models.py``): average pool, two 1×1 convolutions of the block's own, a recurrent cell that all
    blocks share (LSTM, its state 0 before the first block), a linear layer.

    Its weights are parameters of its own and not of layers, so that no rule prunes them, and they
    are counted in float32.

    Args:
        channels: of the input of each block.
        choices: how many there are.
    """

    def __init__(self, channels: Sequence[int], choices: int) -> None:
        super().__init__()
        self.first = nn.ParameterList(_drawn(EMBEDDED, count) for count in channels)
        self.second = nn.ParameterList(_drawn(HIDDEN, EMBEDDED) for _ in channels)
        self.cell_input = _drawn(4 * HIDDEN, HIDDEN)
        self.cell_hidden = _drawn(4 * HIDDEN, HIDDEN)
        self.cell_bias = nn.Parameter(torch.zeros(4 * HIDDEN))
        self.head = _drawn(choices, HIDDEN)
        self.head_bias = nn.Parameter(torch.zeros(choices))
        self.memory: tuple[Tensor, Tensor] | None = None
        """Hidden state and cell within a pass."""

    def forward(self, block: int, inputs: Tensor) -> Tensor:
        """What the block of this number gets, [N, C, H, W], to choices, [N, choices].

        Each row has a 1 where the largest logit is; its gradient is that of the soft-max.
        """
        pooled = inputs.mean(dim=(2, 3))
        embedded = functional.linear(pooled, self.first[block]).relu()
        hidden, cell = self._step(block, functional.linear(embedded, self.second[block]))
        last = block == len(self.first) - 1
        # Nothing of a pass outlives it: copies of the network have no graph to carry.
        self.memory = None if last else (hidden, cell)
        return _Largest.apply(functional.linear(hidden, self.head, self.head_bias).softmax(dim=1))

    def _step(self, block: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the recurrent cell."""
        nothing = (torch.zeros_like(inputs), torch.zeros_like(inputs))
        hidden, cell = self.memory if block and self.memory else nothing
        parts = functional.linear(inputs, self.cell_input, self.cell_bias)
        parts = parts + functional.linear(hidden, self.cell_hidden)
        enter, keep, new, show = parts.chunk(4, dim=1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return show.sigmoid() * cell.tanh(), cell


class _Largest(torch.autograd.Function):
    """A 1 where a row is largest, exactly; the gradient goes straight through."""

    @staticmethod
    def forward(context: Any, soft: Tensor) -> Tensor:
        return functional.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


def _drawn(outputs: int, inputs: int) -> nn.Parameter:
    """As torch's linear layers begin."""
    return nn.Parameter(torch.empty(outputs, inputs).uniform_(-1, 1) / inputs**0.5)
