"""Lookahead (Zhang et al., arXiv 1907.08610): k steps forward, one step back."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.base import Correction
from agc.cost.units import Cost
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor


@CORRECTIONS.register("lookahead", source="arXiv 1907.08610")
class Lookahead(Correction):
    """Every ``k`` steps the slow weights move by ``alpha`` towards the present ones, which then
    start from there; the optimizer's momentum goes on.

    Args:
        k: fast steps for each slow one.
        alpha: how far the slow weights follow; 1 changes nothing.
    """

    off: ClassVar[dict[str, Any] | None] = {"alpha": 1.0}

    def __init__(
        self,
        model: Any,
        *,
        k: Annotated[int, Field(ge=1)] = 5,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__(model)
        self.k = k
        self.alpha = alpha
        self.steps = 0
        self.slow: dict[str, Tensor] = {}

    def begin_epoch(self, batches: Any, loss_fn: Any) -> None:
        """The slow weights start at the first, masked, weights, or where a tensor is unfrozen."""
        for name, parameter in self.parameters.items():
            if name not in self.slow:
                self.slow[name] = parameter.detach().clone()

    def after_step(self) -> None:
        """The slow step, when due."""
        self.steps += 1
        if self.steps % self.k:
            return
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if name in self.slow:
                    self.slow[name].lerp_(parameter, self.alpha)
                    parameter.copy_(self.slow[name])

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """Weights that were pruned must not come back with the slow ones."""
        for name, mask in masks.items():
            if name in self.slow:
                self.slow[name].mul_(mask)

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; the slow weights."""
        return Cost(tensors=1)

    def state_dict(self) -> dict[str, Any]:
        """The slow weights, and how many steps there were."""
        return {"slow": self.slow, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.slow = copy.deepcopy(dict(state["slow"]))
        self.steps = state["steps"]
