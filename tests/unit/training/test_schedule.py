from __future__ import annotations

import math

import pytest
import torch

from agc.grids.settings import LearningRate
from agc.training.schedule import make_schedule


def rates(epochs: int, **settings) -> list[float]:
    """Learning rate of each epoch, as the loop steps the schedule."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
    schedule = make_schedule(LearningRate(**settings), optimizer, epochs)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_step_schedule_falls_at_its_milestones() -> None:
    found = rates(8, name="step", milestones=(0.5, 0.75), factor=0.1)
    assert found == pytest.approx([0.8] * 4 + [0.08] * 2 + [0.008] * 2)


def test_the_step_schedule_never_falls_before_the_first_epoch_has_ended() -> None:
    assert rates(2, name="step", milestones=(0.1,), factor=0.5) == pytest.approx([0.8, 0.4])


def test_the_cosine_schedule_is_half_a_cosine() -> None:
    expected = [0.4 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)]
    assert rates(5, name="cosine") == pytest.approx(expected)


def test_the_constant_schedule_is_constant() -> None:
    assert rates(7, name="constant") == [0.8] * 7


@pytest.mark.parametrize("name", ["step", "cosine", "constant"])
def test_a_warm_up_rises_in_equal_steps_and_the_schedule_follows(name: str) -> None:
    found = rates(10, name=name, warmup=3, milestones=(0.5,), factor=0.1)
    assert found[:3] == pytest.approx([0.2, 0.4, 0.6])
    rest = {
        "step": [0.8, 0.8] + [0.08] * 5,
        "cosine": [0.4 * (1 + math.cos(math.pi * epoch / 7)) for epoch in range(7)],
        "constant": [0.8] * 7,
    }
    assert found[3:] == pytest.approx(rest[name])
