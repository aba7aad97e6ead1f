"""SET: sparse evolutionary training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.methods.shared.drop_and_grow import DropAndGrow
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor


@METHODS.register("set", family="sparse to sparse", source="arXiv 1707.04780", needs="nothing")
class SET(DropAndGrow):
    """Drops the smallest weights and grows random ones.

    The paper drops the smallest positive and the largest negative weights; as in RigL's and
    ITOP's code this is magnitude here.
    """

    def grow_scores(self, name: str) -> Tensor:
        """A random order of all weights."""
        return self.random_scores(name)
