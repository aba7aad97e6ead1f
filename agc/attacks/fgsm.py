"""The fast gradient sign method."""

from __future__ import annotations

from agc.attacks.base import OwnPGD, Threat
from agc.registry import ATTACKS


@ATTACKS.register("fgsm", source="arXiv 1412.6572")
class FGSM(OwnPGD):
    """One step of the whole radius from the image itself."""

    steps = 1
    random_start = False

    def step_size(self, threat: Threat) -> float:
        """The radius."""
        return threat.epsilon
