"""Schedules: which fraction of the active weights an update replaces, and how far to prune."""

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


class CubicSchedule:
    """When to prune, and how far: ``s = s_f + (s_i - s_f) (1 - (t - t_0) / (n Δt))³`` at the steps
    ``t_0 + k Δt`` for k = 1, …, n (Zhu and Gupta, arXiv 1710.01878, equation 1).

    Args:
        start: t_0, as a fraction of the training.
        end: the last pruning comes no later than this fraction, as late as the interval lets it.
        total_steps: of the training.
        interval: steps Δt between prunings; cut to what lies between, so that there is one at
            least.

    Raises:
        ValueError: the end is not after the start.
    """

    def __init__(self, start: float, end: float, total_steps: int, interval: int) -> None:
        if end <= start:
            raise ValueError(f"pruning would end at {end:g} of the training and start at {start:g}")
        self.start = int(start * total_steps)
        length = max(1, int(end * total_steps) - self.start)
        self.interval = min(interval, length)
        self.count = length // self.interval

    def due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with a pruning."""
        past = step - self.start
        return 0 < past <= self.count * self.interval and past % self.interval == 0

    def sparsity(self, step: int, initial: float, final: float) -> float:
        """From ``initial`` at the start to ``final`` at the last pruning and after it."""
        done = min(1.0, max(0, step - self.start) // self.interval / self.count)
        return final + (initial - final) * (1 - done) ** 3
