"""What a compressor is: it says what a receiver reads in place of a message, and in how many bits.

A message has the active coordinates of each tensor, flat, by the tensor's name. Compressors here
shrink the distance to a message or keep it, |D - C(D)|² ≤ (1 - δ) |D|², which error feedback needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc.errors import UserError
from agc.registry import COMPRESSORS

if TYPE_CHECKING:
    from torch import Tensor

FLOAT = 32
"""Bits of a number that is sent as it is, whatever it is computed in."""

Ratio = Annotated[float, Field(gt=0, le=1)]
"""Share of a message's numbers that are sent."""

Message = dict[str, "Tensor"]


class Compressor:
    """Sends a message as it is; base of the entries.

    ``ratio`` and ``seed`` come from who communicates, if an entry takes them; its other
    keyword-only arguments have their defaults in a cell.
    """

    def compress(self, message: Message, step: int) -> Message:
        """What is read in place of a message; new tensors.

        Args:
            message: [n] of each tensor; may be empty.
            step: whose message it is. Random choices are the same on all workers.
        """
        return {name: numbers.clone() for name, numbers in message.items()}

    def bits(self, sizes: Iterable[int]) -> int:
        """Of a compressed message with so many numbers in each tensor."""
        return FLOAT * sum(sizes)

    def bits_of_mean(self, sizes: Iterable[int], workers: int) -> int:
        """Of the mean of so many workers' compressed messages, sent as it is."""
        return FLOAT * sum(sizes)


def make_compressor(name: str, ratio: float | None, seed: int) -> Compressor:
    """The compressor of a name.

    Args:
        name: see ``agc list compressors``.
        ratio: for those that take one; None for their own default.
        seed: of random choices.

    Raises:
        UserError: no such compressor.
    """
    given = {} if ratio is None else {"ratio": ratio}
    return COMPRESSORS.create(name, options={}, seed=seed, **given)


def unfit(name: str, ratio: float | None) -> str | None:
    """Why there is no compressor of this name, or not with this ratio; None if there is."""
    try:
        takes = COMPRESSORS.takes(name)
    except UserError as error:
        return f"option compressor: {error}"
    if ratio is None or "ratio" in takes:
        return None
    return f"compressor {name!r} takes no ratio, got {ratio:g}"


def kept(ratio: float, size: int) -> int:
    """How many of ``size`` numbers a share is: one at least, if there are any."""
    return min(size, max(1, int(ratio * size)))
