"""PGD with 50 steps and 10 restarts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agc.attacks.base import OwnPGD, Threat
from agc.registry import ATTACKS


@ATTACKS.register("pgd-50x10", source="arXiv 1706.06083")
class PGD50x10(OwnPGD):
    """50 steps of 2.5 radii / 50 from each of 10 random starts, as BSR-Net is evaluated.

    Args:
        restarts: random starts.
    """

    steps = 50

    def __init__(self, *, restarts: Annotated[int, Field(ge=1)] = 10) -> None:
        self.restarts = restarts

    def step_size(self, threat: Threat) -> float:
        """All steps together could cross the ball."""
        return 2.5 * threat.epsilon / self.steps
