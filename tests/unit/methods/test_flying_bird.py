from __future__ import annotations

import copy
import math

import pytest
import torch

from agc.conformance.method_problem import STEPS, Problem, same
from agc.methods.flying_bird_plus import FlyingBirdPlus
from agc.registry import METHODS
from tests.support.method_examples import MASK, four_by_four, grid, step


def test_updates_come_less_often_in_the_second_half() -> None:
    method = four_by_four("flying-bird", update_interval=3, late_interval=4, total_steps=24)
    due = [number for number in range(1, 25) if method.update_due(number)]
    assert due == [3, 6, 9, 12, 16, 20]
    resolved = METHODS.resolve("flying-bird", {})
    assert (resolved["update_interval"], resolved["late_interval"]) == (900, 1200)
    assert (resolved["drop_fraction"], resolved["drop_floor"]) == (0.5, 0.005)


def test_growth_by_gradient_on_four_by_four_weights_worked_by_hand() -> None:
    # As RigL-ITOP: ⌈0.4999 · 6⌉ = 3 go and .9 at (2, 0), .8 at (0, 3), .7 at (1, 3) come.
    method = four_by_four("flying-bird", growth="gradient")
    assert step(method)
    expected = grid("""
1 0 0 1
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
    assert torch.equal(method.masks["weight"], expected)
    assert method.dense_gradients == 1


def test_random_growth_reads_no_gradient_and_keeps_the_count() -> None:
    results = set()
    for seed in range(6):
        method = four_by_four("flying-bird", seed=seed)
        step(method)
        mask = method.masks["weight"]
        assert int(mask.sum()) == 6
        # .5 .7 .6 are the three that stay.
        assert mask[[0, 1, 3], [0, 1, 2]].all()
        assert method.dense_gradients == 0
        results.add(tuple(mask.flatten().tolist()))
    assert len(results) > 2


def adapting(losses: list[float], **options: object) -> tuple[FlyingBirdPlus, list[int]]:
    """Flying Bird+ with an update in each step; its numbers of active weights."""
    method = METHODS.create(
        "flying-bird+",
        torch.nn.Linear(20, 10, bias=False),
        None,
        options={
            "update_interval": 1,
            "late_interval": 1,
            "start_fraction": 0.0,
            "drop_schedule": "constant",
            "drop_fraction": 0.5,
            "window": 2,
            **options,
        },
        sparsity=0.5,
        total_steps=len(losses) + 1,
    )
    counts = []
    for loss in losses:
        method.model.weight.grad = torch.zeros(10, 20)
        method.observe(torch.tensor(loss))
        method.advance()
        counts.append(int(method.masks["weight"].sum()))
    return method, counts


def test_the_number_of_weights_follows_the_loss_and_ends_at_the_target() -> None:
    # It rises at steps 2 to 4, so growth is in the majority until the second fall, at step 6.
    # ⌈0.5 · 100⌉ = 50 are replaced, and ⌊0.2 · 50⌋ = 10 more grow; ⌈0.5 · 110⌉ = 55 and 11; and
    # 61, 12; at step 5 one of two changes rises, so more grow and more go: 67 and 13 - ⌈0.1 · 67⌉;
    # at step 6 ⌈0.1 · 70⌉ = 7 go; the last update returns to 100.
    losses = [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]
    method, counts = adapting(losses, grow_more=0.2, drop_more=0.1)
    assert counts == [100, 110, 121, 133, 139, 132, 100]
    assert method.history == [3.0, 2.0, 1.0]
    assert method.sparsity() == 0.5


def test_no_layer_falls_below_the_target() -> None:
    _, counts = adapting([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
    assert counts == [100] * 6


def test_the_number_of_weights_adapts_in_the_second_half_only() -> None:
    _, counts = adapting([float(n) for n in range(1, 10)], start_fraction=0.5, grow_more=0.1)
    # Ten steps in all: from step 5 on.
    assert counts[:4] == [100] * 4
    assert 100 < counts[4] < counts[5]
    assert counts[-1] == 100


def test_the_loss_is_the_mean_between_updates() -> None:
    method = four_by_four("flying-bird+", update_interval=3, total_steps=30)
    for loss in (1.0, 2.0, 6.0, 4.0):
        step(method, loss=loss)
    assert method.history == [3.0]
    assert (method.losses, method.loss_sum.item()) == (1, 4.0)
    with pytest.raises(ValueError, match=r"method\.observe\(loss\)"):
        method.observe()


@pytest.mark.parametrize("growth", ["random", "gradient"])
def test_adaptation_survives_a_stop_and_ends_exactly(growth: str) -> None:
    options = {"growth": growth, "late_interval": 2, "start_fraction": 0.0, "grow_more": 0.5}
    whole = Problem("flying-bird+", **options)
    whole.whole()
    first = Problem("flying-bird+", **options)
    first.begin()
    most = [sum(first.method.active().values()) for _ in first.steps(0, 7)]
    assert max(most) > most[0]
    second = Problem("flying-bird+", **options)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.method.load_state_dict(copy.deepcopy(first.method.state_dict()))
    assert len(list(second.steps(7))) == STEPS - 7
    second.end()
    assert same(whole.state(), second.state())
    assert second.method.active() == second.method.counts
    # A training that is cut short before its last update ends there too.
    first.end()
    assert first.method.active() == first.method.counts


def test_mean_fractions_are_rounded_up() -> None:
    method = four_by_four("flying-bird", total_steps=1000)
    method.steps = 500
    assert method.current_fraction() == pytest.approx(0.005 + 0.495 / 2)
    assert math.ceil(method.current_fraction() * int(MASK.sum())) == 2
