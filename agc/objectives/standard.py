"""Standard training."""

from __future__ import annotations

from agc.objectives.base import Objective
from agc.registry import OBJECTIVES


@OBJECTIVES.register("standard", source="")
class Standard(Objective):
    """Cross-entropy on clean images."""
