"""No quantization."""

from __future__ import annotations

from agc.quantization.base import Quantization
from agc.registry import QUANTIZATIONS


@QUANTIZATIONS.register("none", source="")
class NoQuantization(Quantization):
    """Computes in float32, or as ``training.precision`` says."""
