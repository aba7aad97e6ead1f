"""SARAH (Nguyen et al., arXiv 1703.00102): a recursive gradient estimate."""

from __future__ import annotations

from agc.corrections.shared.recursive import Recursive
from agc.registry import CORRECTIONS


@CORRECTIONS.register("sarah", source="arXiv 1703.00102")
class SARAH(Recursive):
    """v = g(θ) - g(θ') + v', where θ' and v' are those of the step before, restarted from the full
    gradient at each epoch's start. Biased given the past, unlike SVRG.
    """
