"""Adversarial training with PGD."""

from __future__ import annotations

from agc.objectives.shared.adversarial import AdversarialObjective
from agc.registry import OBJECTIVES


@OBJECTIVES.register("pgd-at", source="arXiv 1706.06083")
class PGDAdversarialTraining(AdversarialObjective):
    """Cross-entropy on adversarial images alone, crafted by PGD.

    Defaults are the settings of the paper's adversarial experiments on colour images.
    """
