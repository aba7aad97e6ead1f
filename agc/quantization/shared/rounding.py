"""Rounding in a graph: numbers on the way forward, gradients on the way back.

Both let a gradient through as if nothing had been rounded (straight-through, arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agc.processes.extremes import extremes_of_all
from agc.quantization.shared.affine import (
    Grid,
    at_chance,
    extremes,
    grid_between,
    nearest,
)


def to_grid(values: Tensor, grid: Grid) -> Tensor:
    """Each number's nearest point of the grid; the gradient is that of the number itself."""
    return _Rounded.apply(values, grid)


def rounding_errors(outputs: Tensor, levels: float | Tensor, seed: int) -> Tensor:
    """The outputs, whose gradient is rounded at chance on its way back.

    The grid goes from the least to the greatest number of the gradient, of all processes. The draws
    are those of ``seed`` whenever that is: a pass over the same batch with the same seed rounds in
    the same way, and no global random stream moves.

    Args:
        outputs: of a layer.
        levels: steps of the grid, a number or one for each row.
        seed: drawn in the forward pass.
    """
    return _RoundedGradient.apply(outputs, levels, seed)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, grid: Grid) -> Tensor:
        return nearest(values, grid)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _RoundedGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, levels: float | Tensor, seed: int) -> Tensor:
        context.levels, context.seed = levels, seed
        return values.clone()  # what is in place after it may change it

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # A function of its own: a second derivative goes straight through, too.
        return _AtChance.apply(gradient, context.levels, context.seed), None, None


class _AtChance(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, levels: float | Tensor, seed: int) -> Tensor:
        draws = torch.Generator(device=values.device).manual_seed(seed)
        low, high = extremes_of_all(*extremes(values))
        return at_chance(values, grid_between(low, high, levels), draws)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None
