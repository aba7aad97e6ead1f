"""What an objective is: how a batch is prepared, and the loss of a prepared batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from agc.datasets.loader import Batch


@dataclass(frozen=True)
class Passes:
    """Passes over one batch: forward, backward to the input alone, backward to the weights."""

    forward: int = 0
    input_backward: int = 0
    backward: int = 0

    @property
    def units(self) -> int:
        """Cost in forward passes; by convention any backward pass counts 2."""
        return self.forward + 2 * (self.input_backward + self.backward)


class Objective:
    """Cross-entropy on the batch as it is; base of all others.

    ``prepare`` crafts what must be crafted, once; ``loss`` is the differentiable part. A gradient
    correction replays ``loss`` at its snapshot with the very batch that was prepared.
    """

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """The batch that the loss sees; draws from ``generator`` alone."""
        return batch

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Mean loss of a prepared batch, a scalar with a graph."""
        return torch.nn.functional.cross_entropy(model(batch.images), batch.labels)

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """Declared cost of ``prepare`` per batch."""
        return Passes()

    @classmethod
    def evaluation(cls, **options: Any) -> Passes:
        """Declared cost of ``loss`` and its backward pass per batch."""
        return Passes(forward=1, backward=1)
