"""The checks of communications find what they are for: a broken one fails the check it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agc.communication.all_reduce import AllReduce
from agc.communication.base import Step
from agc.communication.ef import EF
from agc.conformance.communication import CHECKS
from agc.cost.units import Cost
from agc.registry import COMMUNICATION
from tests.support.conformance import registered


class Doubles(AllReduce):
    """Steps with twice the mean."""

    def mean(self, found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: 2 * tensor for name, tensor in super().mean(found).items()}


class Sums(AllReduce):
    """Forgets to divide by the number of workers."""

    def mean(self, found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: len(found) * tensor for name, tensor in super().mean(found).items()}


class Spreads(EF):
    """Keeps momentum where weights are pruned, too."""

    def step(self, step: Step, batch: Any) -> Tensor:
        step.sparse.rest = lambda: None
        return super().step(step, batch)


class Climbs(AllReduce):
    """Goes up."""

    def mean(self, found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: -20 * tensor for name, tensor in super().mean(found).items()}


class Draws(AllReduce):
    """Adds noise from the global stream."""

    def mean(self, found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: tensor * torch.rand(()) for name, tensor in super().mean(found).items()}


class Forgets(AllReduce):
    """Counts its steps, and does not save the count."""

    count = 0

    def update(self, gradients: list[dict[str, Tensor]]) -> None:
        self.count += 1
        super().update([{n: g / self.count for n, g in own.items()} for own in gradients])


class Replaces(AllReduce):
    """Puts new tensors in the place of the weights."""

    def update(self, gradients: list[dict[str, Tensor]]) -> None:
        super().update(gradients)
        for weight in self.parameters.values():
            weight.data = weight.data.clone()


class Deaf(AllReduce):
    """Keeps to its first learning rate."""

    def update(self, gradients: list[dict[str, Tensor]]) -> None:
        kept = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] = 1 / 64
        super().update(gradients)
        for group, lr in zip(self.optimizer.param_groups, kept, strict=True):
            group["lr"] = lr


class Negative(AllReduce):
    """Says that it costs less than nothing."""

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        return Cost(tensors=-1)


BROKEN = [
    (Doubles, "one_worker_that_changes_nothing_is_plain_training"),
    (Sums, "several_that_change_nothing_are_the_control"),
    (Spreads, "what_is_pruned_stays_zero"),
    (Climbs, "the_loss_falls"),
    (Draws, "no_global_stream_moves_or_matters"),
    (Forgets, "a_resumed_run_has_the_same_bits"),
    (Replaces, "storages_survive"),
    (Deaf, "a_schedule_reaches_it"),
    (Negative, "declared_costs_are_finite_and_not_negative"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=[check for _, check in BROKEN])
def test_a_broken_communication_fails_its_check(broken: type[AllReduce], check: str) -> None:
    with registered(COMMUNICATION, broken) as name, pytest.raises(AssertionError):
        CHECKS[check](name)
