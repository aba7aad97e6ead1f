"""PGD with 20 steps."""

from __future__ import annotations

from agc.attacks.base import OwnPGD
from agc.registry import ATTACKS


@ATTACKS.register("pgd-20", source="arXiv 1706.06083")
class PGD20(OwnPGD):
    """20 steps of a quarter of the radius from a random start."""

    steps = 20
