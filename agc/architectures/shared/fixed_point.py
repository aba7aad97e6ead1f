"""The fixed point of a cell with its implicit gradient, by torchdeq, which nothing else imports.

torchdeq 0.1.0 has the gradient by the implicit function theorem. Its iterations that keep
statistics take several times as long as a small cell itself, so the plain one below is registered
with it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from agc.errors import UserError

PICARD = "agc-picard"
"""Name under which torchdeq knows the plain iteration."""


def require_torchdeq() -> None:
    """Make sure, before anything is computed, that fixed points can be solved here.

    Raises:
        UserError: torchdeq is not installed.
    """
    if find_spec("torchdeq") is None:
        raise UserError("equilibrium networks need torchdeq: pip install 'agc-bench[equilibrium]'")


def solve(cell: nn.Module, start: Tensor, injected: Any, calls: int) -> Tensor:
    """z = cell(z, injected) after ``calls`` calls of the cell, with the implicit gradient.

    With z = f(z) the gradient g at z becomes the solution v of v = J^T v + g, J the Jacobian of f
    at z, by as many vector-Jacobian products as there were calls (Bai et al., arXiv 1909.01377,
    theorem 1). A backward pass calls the cell once more, and can be differentiated no further.

    Args:
        cell: called with a state [N, D] and ``injected``; its weights are those of now, whatever
            stands in their place when the backward pass comes.
        start: the first state, [N, D].
        injected: what the images add to the state.
        calls: at least 2.

    Returns:
        The state, [N, D].
    """
    weights = dict(cell.named_parameters())

    def function(state: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return functional_call(cell, weights, (state, injected))
        return cell(state, injected)

    states, _ = _equilibrium(calls)(function, start)
    return _Once.apply(states[0])


class _Once(torch.autograd.Function):
    """Says of a state that it has no second derivative, as torchdeq's gradient would be taken for
    a constant in silence.
    """

    @staticmethod
    def forward(ctx: Any, state: Tensor) -> Tensor:
        return state.view_as(state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


@cache
def _equilibrium(calls: int) -> nn.Module:
    """torchdeq's solver, which is in training mode: in the other it has no gradient.

    The last call is the one that has a graph, and so is the last product.
    """
    from torchdeq import get_deq
    from torchdeq.solver import register_solver

    register_solver(PICARD, _picard)
    iterations = {"f_max_iter": calls - 1, "b_max_iter": calls - 1}
    return get_deq(ift=True, f_solver=PICARD, b_solver=PICARD, no_stat=True, **iterations)


def _picard(
    function: Any, x0: Tensor, max_iter: int, **others: Any
) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """As many calls as there are iterations, whatever they come to: no tolerance, no statistics."""
    state = x0
    for _ in range(max_iter):
        state = function(state)
    return state, [state], {}
