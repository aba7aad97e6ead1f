"""The line along which a search moves the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Line:
    """w - length * direction, from the weights of now on; to be used without autograd.

    Args:
        directions: weights, each with its own.
    """

    def __init__(self, directions: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.weights = [(weight, weight.clone(), along) for weight, along in directions]

    def slope(self) -> float:
        """Of the loss whose gradient the weights have, by length."""
        return -sum(float((weight.grad * along).sum()) for weight, _, along in self.weights)

    def move(self, length: float) -> None:
        """Have the weights there, from the first ones on: at 0 they are these, to the bit."""
        for weight, home, along in self.weights:
            weight.copy_(home)
            if length:
                weight.sub_(along, alpha=length)
