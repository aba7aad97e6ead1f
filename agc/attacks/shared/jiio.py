"""JIIO: joint inference and input optimisation in equilibrium networks (arXiv 2111.13236).

Gurumurthy et al. look for the input x that minimises a cost of the fixed point z = f(z, x). One
after the other, each step of x takes two fixed points: z itself, and the adjoint mu = J^T mu +
(gradient of the cost at z), J the Jacobian of f by z. Here all three move at once, each iteration
by one call of f and one vector-Jacobian product, until they stand still together.

After the official code, locuslab/JIIO-DEQ, with these departures: each sample of a batch is
accelerated, judged and kept by itself, so that no result depends on the others of its batch; the
acceleration is of type II, where the official one is of type I; it is off, as it found weaker
attacks where we measured it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agc.attacks.shared.anderson import Anderson
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    Equation = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """``(x, z) -> (f(z, x), cost of each sample at z)``: [N, ...], [N, D] to [N, D], [N]."""

STATE, ADJOINT = 0.8, 0.6
"""How far z and mu go of their way in an iteration, as in the official code."""

FREE = 10
"""Iterations whose points are kept whatever they are: the first ones are far from everything."""

WORSE = 1.3
"""A point of a lower cost is kept, too, whose residual is below so many times the best one's."""

FIRST_PHASE, SHARE = 50, 5 / 8
"""The second, smaller step of x comes after so many iterations, or this share of them if later."""


class Solution(NamedTuple):
    """What was kept of each sample.

    Attributes:
        x: the input, [N, ...].
        state: z, [N, D].
        adjoint: mu, [N, D].
        costs: at z, [N]; infinite where no iteration was finite, and x is the start.
        residuals: change of the three in the iteration, relative to what they are then, [N].
    """

    x: Tensor
    state: Tensor
    adjoint: Tensor
    costs: Tensor
    residuals: Tensor


def solve_jointly(
    equation: Equation,
    x: Tensor,
    state: Tensor,
    *,
    step_sizes: tuple[float, float],
    iterations: int,
    direction: Callable[[Tensor], Tensor] = lambda gradient: gradient,
    project: Callable[[Tensor], Tensor] = lambda x: x,
    history: int = 1,
) -> Solution:
    """Minimise the cost of a fixed point over its input, sample by sample.

    Args:
        equation: f and the cost; differentiable.
        x: where the input starts, [N, ...].
        state: where z starts, [N, D]; mu starts at 0.
        step_sizes: of x, in the first phase and in the second.
        iterations: calls of ``equation``.
        direction: what x moves against, of the cost's gradient: the gradient itself, or one of a
            fixed length.
        project: brings x back to where it may be.
        history: points that Anderson's acceleration mixes; 1 is the plain iteration.
    """
    adjoint = torch.zeros_like(state)
    anderson = Anderson(history)
    switch = max(FIRST_PHASE, SHARE * iterations)
    best = Solution(x, state, adjoint, *(_infinite(state) for _ in range(2)))
    for iteration in range(iterations):
        following, costs, to_state, to_x = _derivatives(equation, x, state, adjoint)
        step_size = step_sizes[iteration >= switch]
        now = (x, state, adjoint)
        then = (
            project(x - step_size * direction(to_x)),
            state + STATE * (following - state),
            adjoint + ADJOINT * (to_state - adjoint),
        )
        change = _length([b - a for a, b in zip(now, then, strict=True)])
        residuals = change / _length(then).clamp(min=1e-12)
        best = _kept(best, Solution(*now, costs, residuals), iteration < FREE)
        x, state, adjoint = anderson.mixed(now, then)
        x = project(x) if history > 1 else x
    return best


def _derivatives(
    equation: Equation, x: Tensor, state: Tensor, adjoint: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """f, the costs, and the gradients of cost + mu f by z and by x: what mu and x follow."""
    with torch.enable_grad():
        x, state = x.detach().requires_grad_(True), state.detach().requires_grad_(True)
        following, costs = equation(x, state)
        total = costs.sum() + (adjoint * following).sum()
        to_state, to_x = torch.autograd.grad(total, (state, x))
    return following.detach(), costs.detach(), to_state, to_x


def _kept(best: Solution, now: Solution, free: bool) -> Solution:
    """The better point of each sample; one that is not finite is never kept."""
    cheaper = (now.costs < best.costs) & (now.residuals < WORSE * best.residuals)
    better = cheaper | (now.residuals < best.residuals) | free
    better &= now.costs.isfinite() & now.residuals.isfinite()
    return Solution(
        *(torch.where(_beside(better, new), new, old) for old, new in zip(best, now, strict=True))
    )


def _beside(chosen: Tensor, tensor: Tensor) -> Tensor:
    return chosen.reshape(-1, *(1 for _ in tensor.shape[1:]))


def _length(parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """Euclidean length of each sample over all parts, [N]."""
    return torch.cat([part.flatten(1) for part in parts], dim=1).norm(dim=1)


def _infinite(state: Tensor) -> Tensor:
    return torch.full_like(state[:, 0], torch.inf)
