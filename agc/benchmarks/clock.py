"""The time that steps take, side by side, and the time that is left to measure it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

Step = Callable[[], Any]

WARM_UP = 4
"""Steps before the clock starts: two that graphs are warmed up with, one that is captured, one
more."""


class Clock:
    """Measures steps on a device, until its seconds are used up.

    Args:
        device: which is waited for before the clock is read.
        seconds: for everything; at least one round is made of whatever has been begun.
    """

    def __init__(self, device: str, seconds: float) -> None:
        self.device = device
        self.cuda = torch.device(device).type == "cuda"
        self.begin = time.monotonic()
        self.end = self.begin + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 where too many were used."""
        return self.end - time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self.begin

    def wait(self) -> None:
        """Wait until the device has done all that it was asked for."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def milliseconds(self, step: Step, number: int = 1) -> float:
        """What each of ``number`` calls took."""
        self.wait()
        begin = time.perf_counter()
        for _ in range(number):
            step()
        self.wait()
        return 1000 * (time.perf_counter() - begin) / number

    def in_turns(
        self, steps: Mapping[str, Step], seconds: float, number: int = 4
    ) -> dict[str, list[float]]:
        """Milliseconds of each step, round by round: all take turns, so that clocks, heat and
        neighbours are the same for all of them.

        Args:
            steps: by name.
            seconds: for all rounds, about; there is at least one.
            number: calls of a step in its turn.
        """
        for step in steps.values():
            for _ in range(WARM_UP):
                step()
        taken: dict[str, list[float]] = {name: [] for name in steps}
        end = min(time.monotonic() + seconds, self.end)
        while True:
            for name, step in steps.items():
                taken[name].append(self.milliseconds(step, number))
            if time.monotonic() >= end:
                return taken


def compared(taken: list[float], plain: list[float], images: int) -> dict[str, Any]:
    """What the rounds of a step say beside those of a plain loop.

    ``ms`` is the median, ``spread`` the range of the middle half of the rounds as a share of it,
    and ``ratio`` the median of the rounds' ratios.
    """
    ms, ordered = median(taken), sorted(taken)
    quarter = len(ordered) // 4
    return {
        "ms": ms,
        "spread": (ordered[-1 - quarter] - ordered[quarter]) / ms,
        "rounds": len(taken),
        "images_per_second": 1000 * images / ms,
        "ratio": median(one / other for one, other in zip(taken, plain, strict=True)),
    }
