"""Grids of evenly spaced numbers, and rounding to them (arXiv 1712.05877, section 2.1).

A grid of b bits has 2^b points ``(n - offset) * step`` for n = 0 … 2^b - 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Grid(NamedTuple):
    """Points ``(n - offset) * step``; ``offset`` and ``step`` broadcast against the numbers.

    ``levels`` is the largest n: a number, or a tensor where rows have their own bits.
    """

    offset: Tensor
    step: Tensor
    levels: float | Tensor


def extremes(values: Tensor, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """Least and greatest number, of all or of each row along ``axis``, which then broadcast."""
    if axis is None:
        low, high = torch.aminmax(values.detach())
        return low, high
    others = [other for other in range(values.ndim) if other != axis]
    values = values.detach()
    return values.amin(others, keepdim=True), values.amax(others, keepdim=True)


def grid_with_zero(low: Tensor, high: Tensor, levels: float | Tensor) -> Grid:
    """From the least to the greatest number, moved by up to half a step so that 0 is a point.

    What is exactly 0 stays so: pruned weights, padding, and what ReLU cuts off.
    """
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    step = _positive((high - low) / levels)
    return Grid((-low / step).round(), step, levels)


def grid_between(low: Tensor, high: Tensor, levels: float | Tensor) -> Grid:
    """Exactly from the least to the greatest number, so that rounding at chance is unbiased there
    too; 0 need not be a point.
    """
    step = _positive((high - low) / levels)
    return Grid(-low / step, step, levels)


def symmetric_grid(largest: Tensor, bits: int) -> Grid:
    """From ``-largest`` to ``largest`` with 0 in the middle: 2^b - 1 points."""
    half = levels_of(bits) // 2
    step = _positive(largest / half)
    return Grid(torch.full_like(step, half), step, 2 * half)


def levels_of(bits: int) -> int:
    """Steps of a grid of so many bits."""
    return 2**bits - 1


def nearest(values: Tensor, grid: Grid) -> Tensor:
    """Each number's nearest point; those beyond the ends go to the ends."""
    return _points(torch.div(values, grid.step).add_(grid.offset).round_(), grid)


def at_chance(values: Tensor, grid: Grid, generator: Generator) -> Tensor:
    """One of the two points around each number, in the mean the number itself.

    Args:
        values: within the ends of the grid.
        grid: the points.
        generator: on the device of the numbers.
    """
    draws = torch.rand(values.shape, generator=generator, device=values.device)
    places = torch.div(values, grid.step).add_(grid.offset)
    below = places.floor()
    # Not floor(place + draw): that sum is rounded itself, and would move what is on a point.
    return _points(below.add_(draws < places.sub_(below)), grid)


def _points(places: Tensor, grid: Grid) -> Tensor:
    """The points at whole places, in the memory of ``places``."""
    if isinstance(grid.levels, int | float):
        places.clamp_(0, grid.levels)
    else:
        torch.minimum(places.clamp_(min=0), grid.levels, out=places)
    return places.sub_(grid.offset).mul_(grid.step)


def _positive(step: Tensor) -> Tensor:
    """The step, not 0 where all numbers are the same."""
    return step.clamp(min=torch.finfo(step.dtype).tiny)
