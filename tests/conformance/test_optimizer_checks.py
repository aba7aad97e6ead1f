"""The checks of optimizers find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from agc.conformance.optimizers import CHECKS
from agc.cost.units import Cost
from agc.optimizers.base import TorchOptimizer
from agc.registry import OPTIMIZERS
from tests.support.conformance import registered


class Plain(TorchOptimizer):
    """Gradient descent; base of the broken ones."""

    def __init__(self, params: Iterable[Tensor], *, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    self.move(weight, group["lr"])

    def move(self, weight: Tensor, lr: float) -> None:
        if weight.grad is not None:
            weight.sub_(lr * weight.grad)


class Climbs(Plain):
    """Goes up."""

    def move(self, weight: Tensor, lr: float) -> None:
        super().move(weight, -20 * lr)


class Decays(Plain):
    """Shrinks every weight."""

    def move(self, weight: Tensor, lr: float) -> None:
        weight.mul_(0.99)
        super().move(weight, lr)


class Draws(Plain):
    """Adds noise from the global stream."""

    def move(self, weight: Tensor, lr: float) -> None:
        super().move(weight, lr * float(torch.rand(())))


class Forgets(Plain):
    """Counts its steps, and does not save the count."""

    def step(self, closure: Any = None) -> None:
        self.count = getattr(self, "count", 0) + 1
        super().step(closure)

    def move(self, weight: Tensor, lr: float) -> None:
        super().move(weight, lr / self.count)


class Replaces(Plain):
    """Puts a new tensor in the place of the weight."""

    def move(self, weight: Tensor, lr: float) -> None:
        if weight.grad is not None:
            weight.data = weight.data - lr * weight.grad


class Deaf(Plain):
    """Keeps to its first learning rate."""

    def move(self, weight: Tensor, lr: float) -> None:
        super().move(weight, self.defaults["lr"])


class Clings(Plain):
    """Its copy moves the same weights."""

    def __deepcopy__(self, memo: Any) -> Clings:
        return self


class Negative(Plain):
    """Says that it costs less than nothing."""

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        return Cost(step=-1)


BROKEN = [
    (Climbs, "the_loss_falls"),
    (Decays, "what_has_no_gradient_stays"),
    (Draws, "no_global_stream_moves_or_matters"),
    (Forgets, "a_resumed_run_has_the_same_bits"),
    (Replaces, "storages_survive"),
    (Deaf, "a_schedule_reaches_it"),
    (Clings, "a_copy_goes_on_by_itself"),
    (Negative, "declared_costs_are_finite_and_not_negative"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_plain_gradient_descent_passes(check: str) -> None:
    with registered(OPTIMIZERS, Plain) as name:
        CHECKS[check](name)


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_optimizer_fails_its_check(broken: type[Plain], check: str) -> None:
    with registered(OPTIMIZERS, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)
