"""All-reduce: plain data-parallel training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.communication.shared.workers import Workers
from agc.registry import COMMUNICATION

if TYPE_CHECKING:
    from agc.communication.shared.workers import Tensors


@COMMUNICATION.register("all-reduce", source="torch", bits="32 n", state="–")
class AllReduce(Workers):
    """The optimizer gets the mean of the workers' gradients: the control of all others.

    One worker is plain training, to the bit. Several have batch norm of their own shares, so they
    differ from one that has the whole batch.

    Args:
        workers: how many share each batch.
    """

    def update(self, gradients: list[Tensors]) -> None:
        """Average the active coordinates, and let the optimizer step."""
        self.take_mean(gradients)
        self.optimizer.step()
