"""NaN among the scores of an update of masks, which would make an order of any kind.

To look makes the host wait for the device. An update of many layers looks once, at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

MET = "a mask update met NaN scores"

_layers: list[str] = []
"""Whose scores are being read, innermost last."""

_looks: list[Look] = []
"""Blocks that look at their end, innermost last."""


class Look:
    """Questions to the device that are answered together."""

    def __init__(self) -> None:
        self.flags: list[Tensor] = []
        self.messages: list[str | None] = []
        self.answers: list[bool] = []

    def ask(self, flag: Tensor) -> Callable[[], bool]:
        """Whether a boolean of no dimension is true, which is known when the block has ended."""
        number = len(self.flags)
        self.flags.append(flag)
        self.messages.append(None)
        return lambda: self.answers[number]

    def answer(self) -> None:
        """Wait for the device, if there is a question.

        Raises:
            FloatingPointError: NaN was met.
        """
        if not self.flags:
            return
        first = self.flags[0].device
        self.answers = torch.stack([flag.to(first) for flag in self.flags]).tolist()
        for found, message in zip(self.answers, self.messages, strict=True):
            if found and message is not None:
                raise FloatingPointError(message)


@contextmanager
def looked_at_together() -> Iterator[Look]:
    """Look for NaN when the block has ended, once for all scores that were read in it.

    Raises:
        FloatingPointError: there was one; it names the first such layer. What the block has done
            stays.
    """
    look = Look()
    _looks.append(look)
    try:
        yield look
    finally:
        _looks.remove(look)
    look.answer()


@contextmanager
def of_layer(name: str) -> Iterator[None]:
    """Name the layer of which a score is NaN."""
    _layers.append(name)
    try:
        yield
    finally:
        _layers.pop()


def refuse_nan(scores: Tensor, where: Tensor | None = None) -> None:
    """Make sure that no score is NaN, of those that are read: now, or at the end of the block of
    :func:`looked_at_together`.

    Args:
        scores: any shape.
        where: boolean, of this shape, which ones are read; all if left out.

    Raises:
        FloatingPointError: one is.
    """
    nan = torch.isnan(scores)
    flag = (nan if where is None else nan & where).any()
    message = f"layer {_layers[-1]!r}: {MET}" if _layers else MET
    if _looks:
        _looks[-1].flags.append(flag)
        _looks[-1].messages.append(message)
    elif flag:
        raise FloatingPointError(message)
