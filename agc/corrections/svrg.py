"""SVRG: stochastic variance reduced gradient (Johnson and Zhang, NeurIPS 2013)."""

from __future__ import annotations

from agc.corrections.shared.control_variate import ControlVariate
from agc.registry import CORRECTIONS


@CORRECTIONS.register("svrg", source="NeurIPS 2013, Johnson and Zhang")
class SVRG(ControlVariate):
    """g + u - q: the control variate at full weight, with a snapshot at each epoch's start."""
