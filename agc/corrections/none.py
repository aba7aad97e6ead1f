"""No correction: plain minibatch gradients."""

from __future__ import annotations

from agc.corrections.base import Correction
from agc.registry import CORRECTIONS


@CORRECTIONS.register("none", source="")
class NoCorrection(Correction):
    """The minibatch gradient as it is: the baseline."""

    changes_nothing = True
    repeatable = True
    by_worker = True
