from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from agc.conformance.method_problem import OPTIMIZERS, Problem, same
from agc.registry import METHODS
from tests.support.method_examples import GRADIENT, MASK, WEIGHT, four_by_four, grid, momentum, step


def test_rigl_itop_on_four_by_four_weights_worked_by_hand() -> None:
    # ⌈0.4999 · 6⌉ = 3 of .5 .1 .7 .2 .3 .6 go: .1, .2 and .3. The best gradients among what is
    # vacant then: .9 at (2, 0), which comes straight back, .8 at (0, 3), .7 at (1, 3), back too.
    method = four_by_four("rigl-itop")
    assert step(method)
    expected = grid("""
1 0 0 1
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
    assert torch.equal(method.masks["weight"], expected)
    # What came back kept its value and momentum; what is new has neither.
    assert torch.equal(method.model.weight, torch.where(expected, WEIGHT, 0))
    assert torch.equal(momentum(method), torch.where(expected & MASK, GRADIENT, 0))
    assert method.dense_gradients == 1


@pytest.mark.parametrize("name", ["set-itop", "rigl-itop"])
def test_the_drop_fraction_falls_to_the_floor_until_the_end(name: str) -> None:
    layer = nn.Linear(40, 10, bias=False)
    options = {"update_interval": 2}
    method = METHODS.create(name, layer, None, options=options, sparsity=0.5, total_steps=8)
    asked = []
    method.replace = lambda name, drop: asked.append((method.steps, drop))
    for _ in range(8):
        layer.weight.grad = torch.zeros(10, 40)
        method.observe()
        method.advance()
    # 200 weights; 0.005 + 0.2475 (1 + cos(π t / 8)) at t = 2, 4, 6, rounded up; none after the end.
    assert asked == [(2, 86), (4, 51), (6, 16)]


def test_the_intervals_are_those_of_the_source() -> None:
    assert METHODS.resolve("set-itop", {})["update_interval"] == 1500
    assert METHODS.resolve("rigl-itop", {})["update_interval"] == 4000
    for name in ("set-itop", "rigl-itop"):
        resolved = METHODS.resolve(name, {})
        assert (resolved["drop_fraction"], resolved["drop_floor"]) == (0.5, 0.005)
        assert (resolved["end_fraction"], resolved["drop_schedule"]) == (1.0, "cosine")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_dst_ee_without_exploration_is_rigl_to_the_bit(optimizer: str) -> None:
    plain, twin, other = (
        Problem("rigl", optimizer),
        Problem("dst-ee", optimizer, exploration=0.0),
        Problem("dst-ee", optimizer, exploration=10.0),
    )
    for problem in (plain, twin, other):
        problem.whole()
    assert same(plain.state(), twin.state())
    assert not same(plain.masks(), other.masks())
    # Places never visited have the largest bonus: more of them are visited.
    assert other.method.exploration_rate() > plain.method.exploration_rate()


def test_dst_ee_scores_by_hand() -> None:
    method = four_by_four("dst-ee", exploration=0.5, decay_interval=4, epsilon=2.0)
    visits = torch.arange(16, dtype=torch.int32).reshape(4, 4)
    method.rounds_active["weight"].copy_(visits)
    method.gradients = {"weight": GRADIENT}
    method.steps = 10
    # After 10 steps c has been multiplied twice by 0.9.
    bonus = 0.5 * 0.81 * math.log(10)
    for row, column, gradient in ((0, 2, 0.1), (1, 3, 0.7), (3, 0, 0.1)):
        found = method.grow_scores("weight")[row, column].item()
        assert found == pytest.approx(gradient + bonus / (4 * row + column + 2), rel=1e-6)


def test_dst_ee_counts_the_masks_in_which_a_weight_was_active() -> None:
    problem = Problem("dst-ee", exploration=1.0, drop_fraction=0.5)
    problem.begin()
    counted = [mask.int() for mask in problem.masks()]
    for changed in problem.steps():
        if changed:
            counted = [n + mask for n, mask in zip(counted, problem.masks(), strict=True)]
    assert same(counted, list(problem.method.rounds_active.values()))
    assert max(int(n.max()) for n in counted) == 5
