"""Static sparse training: the control that never changes its topology."""

from __future__ import annotations

from agc.methods.base import SparseMethod
from agc.registry import METHODS


@METHODS.register("static", family="control", source="arXiv 1911.11134, section 4", needs="nothing")
class Static(SparseMethod):
    """A random mask, drawn once and kept until the end."""
