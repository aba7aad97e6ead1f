"""Lookahead (Zhang et al., arXiv 1907.08610): k steps forward, one step back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.cost.units import Cost
from agc.errors import UserError
from agc.lazy import torch
from agc.optimizers.base import TorchOptimizer
from agc.registry import OPTIMIZERS

if TYPE_CHECKING:
    from torch import Tensor


@OPTIMIZERS.register("lookahead", source="arXiv 1907.08610")
class Lookahead(TorchOptimizer):
    """Every ``k`` steps of the inner optimizer the slow weights move by ``alpha`` towards the
    present ones, which then start from there; the inner optimizer's momentum goes on.

    The slow weights lie in ``state``, beside the inner optimizer's tensors, so they are masked with
    the weights and a weight that was pruned does not come back with them.

    Args:
        params: what is trained: tensors or groups.
        lr: of the inner optimizer, like ``momentum``, ``nesterov`` and ``weight_decay``, of which
            it takes those that it has.
        k: fast steps for each slow one.
        alpha: how far the slow weights follow; 1 changes nothing.
        inner: name of the optimizer that makes the fast steps.

    Raises:
        UserError: no such inner optimizer.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        k: Annotated[int, Field(ge=1)] = 5,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
        inner: str = "sgd",
    ) -> None:
        shared = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        self.inner = OPTIMIZERS.create(inner, list(params), options={}, lr=lr, **shared)
        defaults = {**self.inner.defaults, "k": k, "alpha": alpha, "fast_steps": 0}
        super().__init__(self.inner.param_groups, defaults)
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A fast step, and the slow one when due; returns the closure's loss."""
        with torch.no_grad():
            starts = {weight: weight.clone() for weight in self._without_slow()}
        loss = self.inner.step(closure)
        with torch.no_grad():
            for weight, start in starts.items():
                # Not before: the inner optimizer fills a state that is empty.
                if weight.grad is not None:
                    self.state[weight]["slow"] = start
            for group in self.param_groups:
                group["fast_steps"] += 1
                if group["fast_steps"] % group["k"] == 0:
                    self._look_back(group)
        return loss

    def _look_back(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if "slow" in self.state.get(weight, {}):
                slow = self.state[weight]["slow"]
                slow.lerp_(weight, group["alpha"])
                weight.copy_(slow)

    def _without_slow(self) -> list[Tensor]:
        every = [weight for group in self.param_groups for weight in group["params"]]
        return [w for w in every if w.requires_grad and "slow" not in self.state.get(w, {})]

    def _share(self) -> None:
        """One state and one list of groups: schedules and masks reach the inner optimizer too."""
        self.inner.state, self.inner.param_groups = self.state, self.param_groups

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave; the groups hold how many fast steps there were."""
        super().load_state_dict(state_dict)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "inner": self.inner}

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """An inner optimizer that is unknown, or is this one again."""
        if options["inner"] == "lookahead":
            return "option inner = 'lookahead': it cannot wrap itself"
        try:
            inner = OPTIMIZERS[options["inner"]].target
        except UserError as error:
            return f"option inner: {error}"
        if getattr(inner, "probes", False):
            return f"option inner = {options['inner']!r}: its fast steps would have no probes"
        return None

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; the slow weights."""
        return Cost(tensors=1)
