"""No compression."""

from __future__ import annotations

from agc.compressors.base import Compressor
from agc.registry import COMPRESSORS


@COMPRESSORS.register("identity", source="", bits="32 n")
class Identity(Compressor):
    """The message as it is: the control of all others."""
