"""The linear term by which a line search's loss has the gradient that the optimizer sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class Tilt:
    """<r, w - w0>, where r is what correction and clipping have changed of the gradient at w0.

    Losses along a line and the slope of another gradient are not of one parabola: the step that is
    read off them may have any length. With this term added to the loss they are.

    Args:
        parameters: whose gradients are changed; without any the term is 0.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self.changes: list[tuple[Tensor, Tensor, Tensor]] = []
        """Each parameter with its r and its w0."""

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Within it the raw gradients are changed, at the present weights."""
        raw = [(p, p.grad.clone()) for p in self.parameters if p.grad is not None]
        yield
        with torch.no_grad():
            self.changes = [(p, p.grad - gradient, p.detach().clone()) for p, gradient in raw]

    def term(self) -> Tensor | float:
        """The term at the present weights."""
        with torch.no_grad():
            return sum(((p - home) * change).sum() for p, change, home in self.changes)
