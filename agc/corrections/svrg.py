"""SVRG: stochastic variance reduced gradient (Johnson and Zhang, NeurIPS 2013)."""

from __future__ import annotations

from agc.corrections.shared.stored import Stored
from agc.registry import CORRECTIONS


@CORRECTIONS.register("svrg", source="NeurIPS 2013, Johnson and Zhang")
class SVRG(Stored):
    """g + u - q: the control variate at full weight, with a snapshot at each epoch's start.

    Args:
        store: gigabytes for gradients of the pass, which are q of the steps where augmentation is
            locked: 6 units a batch instead of 9; 0 keeps none.
    """
