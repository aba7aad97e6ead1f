"""Detached error feedback (Xu and Huang, ICML 2022, PMLR 162:24550-24575)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.communication.shared.error_feedback import ErrorFeedback
from agc.gradients.moved import moved
from agc.lazy import torch
from agc.registry import COMMUNICATION

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.communication.shared.workers import Tensors


@COMMUNICATION.register(
    "def",
    source="PMLR 162:24550-24575",
    bits="the compressor's",
    state="e, m of a worker; s",
    against="ef",
    apart=("start",),
)
class DEF(ErrorFeedback):
    """Error feedback whose workers step ahead by a part of their error, and whose network is used
    at x - mean(e).

    As in the authors' code (anxuthu/DEF) with a message in each step: gradients at x - α e, and
    validation, like the network that is left in the end, at x - mean(e). Their compressor is
    ``random-block``. Options and recursion are those of
    :mod:`agc.communication.shared.error_feedback`.

    Args:
        alpha: α; 0.3 in the code's scripts.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.alpha = alpha
        self.ended = False

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """At x - mean(e)."""
        owed = {} if self.ended else self._owed()
        with moved(self.parameters, owed):
            yield

    def end(self) -> None:
        """Go to x - mean(e) for good."""
        with torch.no_grad():
            for name, shift in self._owed().items():
                self.parameters[name].add_(shift)
        self.ended = True

    def _owed(self) -> Tensors:
        """-mean(e), in weights."""
        self.look_around()
        means = self.mean([self.errors(number) for number in self.own])
        return {name: error * -self.unit(name) for name, error in means.items()}
