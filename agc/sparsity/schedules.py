"""Drop-fraction schedules: which fraction of the active weights an update replaces."""

from __future__ import annotations

import math
from collections.abc import Callable


def cosine(initial: float, progress: float) -> float:
    """Half a cosine from ``initial`` down to 0 (RigL, arXiv 1911.11134, section 3)."""
    return initial / 2 * (1 + math.cos(math.pi * progress))


def linear(initial: float, progress: float) -> float:
    """A straight line from ``initial`` down to 0."""
    return initial * (1 - progress)


def constant(initial: float, progress: float) -> float:
    """Always ``initial``."""
    return initial


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
}
