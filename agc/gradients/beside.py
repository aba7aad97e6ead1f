"""Passes that are not the training's own: the one thing that a user's hook may ask about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0
"""How many such passes are under way, one within another. Not a context variable: autograd runs
backward hooks in threads of its own, which would not see it."""


def beside_the_step() -> bool:
    """Whether a pass is under way that is not the training's own: at a correction's older weights,
    for a mean over the data, for a score, or for a loss alone.

    Such passes go through the same modules, whose hooks run as always, since a hook may be part of
    the network. One that logs or counts asks here, and does nothing.
    """
    return _depth > 0


@contextmanager
def beside() -> Iterator[None]:
    """Passes within the block are not the training's own."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
