from __future__ import annotations

import math
from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from agc.conformance.method_problem import Problem
from agc.methods.rigl import RigL
from agc.methods.srigl import SRigL, constant_fan_ins
from agc.sparsity.distributions import InfeasibleSparsityError, active_counts
from agc.sparsity.masks import top_of_rows

OPTIONS = {"sparsity": 0.5, "total_steps": 100, "update_interval": 1, "distribution": "uniform"}


def grid(text: str) -> Tensor:
    return torch.tensor([[float(x) for x in line.split()] for line in text.strip().splitlines()])


def updated(weights: Tensor, gradient: Tensor, drop: int, **options: object) -> SRigL:
    """The first of two layers after one update that drops so many of its weights."""
    neurons, inputs = weights.shape
    model = nn.Sequential(nn.Linear(inputs, neurons, bias=False), nn.Linear(neurons, neurons))
    method = SRigL(model, None, **{**OPTIONS, **options})
    with torch.no_grad():
        model[0].weight.copy_(weights)
        method.masks["0.weight"].copy_(weights != 0)
        method.gradients = {"0.weight": gradient}
        method.replace("0.weight", drop)
    return method


WEIGHTS = grid("""
.9 .1 0 0
.8 .7 0 0
0 0 .2 .3
0 0 .6 .5""")
GRADIENT = grid("""
.1 .1 .3 .4
.1 .1 .9 .2
.1 .8 .1 .1
.2 .1 .1 .1""")


def test_an_update_without_ablation_worked_by_hand() -> None:
    # .1, .2 and .3 go. Neuron 0 grows .4 at (0, 3); neuron 2 has lost both and grows .8 at (2, 1)
    # and, of three that are equal, the first, (2, 0).
    expected = grid("""
1 0 0 1
1 1 0 0
1 1 0 0
0 0 1 1""").bool()
    method = updated(WEIGHTS, GRADIENT, 3, min_salient=0)
    assert torch.equal(method.masks["0.weight"], expected)


def test_a_neuron_without_salient_weights_is_ablated_by_hand() -> None:
    # The drop of five keeps .9, .8 and .7. The five largest gradients are .9 (1, 2), .8 (2, 1),
    # .4 (0, 3), .3 (0, 2) and, of two that are equal, .2 (1, 3). So neuron 3 has no salient
    # weight, the others have 3, 4 and 1. A fraction of 0.5 of the fan-in 2 asks for one, so
    # neuron 3 goes. Eight weights for three are two each, and one more for neurons 0 and 1.
    expected = grid("""
1 0 1 1
1 1 1 0
1 1 0 0
0 0 0 0""").bool()
    method = updated(WEIGHTS, GRADIENT, 5, min_salient=0.5)
    assert torch.equal(method.masks["0.weight"], expected)
    # Where two are asked for, neurons 2 and 3 go, and the others are filled up to all their places.
    method = updated(WEIGHTS, GRADIENT, 5, min_salient=1.0)
    assert method.masks["0.weight"].sum(dim=1).tolist() == [4, 4, 0, 0]


def test_the_fewest_salient_weights_go_first_and_the_new_fan_in_is_filled_by_gradient() -> None:
    weights = grid("""
.9 0 0 0 0 0
0 .8 0 0 0 0
0 0 .1 0 0 0
0 0 0 .2 0 0""")
    gradient = grid("""
0 .5 .1 0 0 0
0 0 0 .6 .2 0
0 0 0 0 0 0
0 0 0 0 0 0""")
    # The drop of two keeps .9 and .8; .6 and .5 are salient by gradient. Neurons 2 and 3 have
    # none, and the four weights are shared by two.
    expected = grid("""
1 1 0 0 0 0
0 1 0 1 0 0
0 0 0 0 0 0
0 0 0 0 0 0""").bool()
    method = updated(weights, gradient, 2, sparsity=5 / 6)
    assert torch.equal(method.masks["0.weight"], expected)


def test_an_ablated_neuron_comes_back_by_its_gradient() -> None:
    weights = grid("""
.9 .8 0 0
0 0 0 0""")
    gradient = grid("""
0 0 .1 0
.7 .6 0 0""")
    # One of two is dropped; .9 is salient, and .7 (1, 0).
    expected = grid("""
1 0 0 0
1 0 0 0""").bool()
    method = updated(weights, gradient, 1, sparsity=0.75)
    assert torch.equal(method.masks["0.weight"], expected)


def test_the_largest_weights_of_a_neuron_stay_when_its_fan_in_shrinks() -> None:
    weights = grid("""
.9 .8 .7 0
0 0 0 .1""")
    gradient = torch.zeros(2, 4)
    method = updated(weights, gradient, 1, min_salient=0)
    assert method.masks["0.weight"].tolist() == [
        [True, True, False, False],
        [True, True, False, False],
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("min_salient", [0.0, 0.3, 1.0])
def test_the_fan_in_is_constant_and_the_total_is_the_target(
    optimizer: str, min_salient: float
) -> None:
    problem = Problem("srigl", optimizer, min_salient=min_salient)
    method = problem.method
    size = sum(p.numel() for p in method.parameters.values())
    active = round((1 - method.target) * size)
    assert method.target == pytest.approx(0.8, abs=0.01)
    ablated = 0
    for step in chain([False], problem.steps()):
        for name, mask in method.masks.items():
            fan_ins = mask.flatten(1).sum(dim=1)
            alive = fan_ins[fan_ins > 0]
            total = len(fan_ins) * method.fan_ins[name]
            assert int(fan_ins.sum()) == total
            # The same, or one more where the weights of ablated neurons cannot be shared evenly.
            assert int(alive.min()) == total // len(alive)
            assert int(alive.max() - alive.min()) == (total % len(alive) > 0)
            ablated += step * (len(fan_ins) - len(alive))
        assert sum(method.active().values()) == active
    assert method.masks["7.weight"].any(dim=1).all(), "a class was ablated"
    assert (ablated > 0) == (min_salient == 1.0)


def test_with_one_neuron_a_layer_it_is_rigl() -> None:
    masks = []
    for kind in (SRigL, RigL):
        layer = nn.Linear(40, 1, bias=False)
        method = kind(layer, None, **OPTIONS)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(1, 40, generator=generator))
            method.masks["weight"].copy_(torch.arange(40) % 2 == 0)
            layer.weight.mul_(method.masks["weight"])
        layer.weight.grad = torch.randn(1, 40, generator=generator)
        method.observe()
        method.advance()
        masks.append(method.masks["weight"].clone())
    assert torch.equal(*masks)
    assert not torch.equal(masks[0], (torch.arange(40) % 2 == 0).reshape(1, 40))


def test_fan_ins_are_whole_and_bring_the_total_nearest() -> None:
    shapes = {"a": (16, 1, 3, 3), "b": (32, 16, 3, 3), "c": (64, 32, 3, 3), "d": (10, 64)}
    total = sum(math.prod(shape) for shape in shapes.values())
    for sparsity in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98):
        counts = active_counts(shapes, sparsity)
        fan_ins = constant_fan_ins(shapes, counts)
        reached = sum(k * shapes[name][0] for name, k in fan_ins.items())
        assert all(1 <= k <= math.prod(shapes[name][1:]) for name, k in fan_ins.items())
        assert abs(reached - (1 - sparsity) * total) <= 32


def test_a_sparsity_with_less_than_a_weight_for_each_neuron_is_refused() -> None:
    with pytest.raises(
        InfeasibleSparsityError, match="layer 'weight' 3 weights, and each of its 8"
    ):
        SRigL(nn.Linear(30, 8), None, **{**OPTIONS, "sparsity": 1 - 3 / 240})


def test_rows_take_the_first_of_equal_scores_and_each_its_own_count() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]])
    assert top_of_rows(scores, 1).tolist() == [[True, False, False], [False, True, False]]
    counts = torch.tensor([[2], [0]])
    assert top_of_rows(scores, counts).tolist() == [[True, True, False], [False] * 3]
    with pytest.raises(FloatingPointError, match="NaN"):
        top_of_rows(torch.tensor([[math.nan]]), 1)
