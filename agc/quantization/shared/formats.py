"""In how many bits numbers are: one object for all layers of a network and all of its copies."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

FLOAT = 32
"""Bits of a number that is not quantised."""

Bits = Literal[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32]
"""Of a number; between 16 and 32, float32 could not tell all steps of a grid apart."""


@dataclass
class Formats:
    """Bits of what a layer multiplies: 32 leaves a number as it is.

    Attributes:
        activations: what a layer gets.
        weights: its own.
        errors: the gradient at its output, of which its two backward products are made.
    """

    activations: int = FLOAT
    weights: int = FLOAT
    errors: int = FLOAT

    def __deepcopy__(self, memo: object) -> Formats:
        """Copies of a network compute as the network does: both gradients of a correction."""
        return self

    def set(self, other: Formats) -> None:
        """Take over the bits of another one."""
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))
