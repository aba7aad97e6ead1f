from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from agc.conformance.method_problem import OPTIMIZERS, Problem, network
from agc.methods.bsr import BSR
from agc.registry import METHODS
from tests.support.method_examples import MASK, WEIGHT, four_by_four, grid, momentum, step

PUSH = grid("""
6 0 0 0
0 0 0 3
0 0 0 0
0 0 0 0""")
"""At a learning rate of 0.1 it takes .5 at (0, 0) to -.1 and .2 at (1, 3) to -.1."""


@pytest.mark.parametrize("name", ["deepr", "bsr"])
def test_what_crosses_zero_dies_and_random_connections_are_made(name: str) -> None:
    grown = set()
    for seed in range(12):
        method = four_by_four(name, lr=0.1, l1=0.0, noise=0.0, seed=seed)
        positive = method.positive["weight"].copy_(WEIGHT >= 0).clone()
        assert step(method, PUSH)
        mask, weight = method.masks["weight"], method.model.weight.detach()
        survivors = MASK.clone()
        survivors[0, 0] = survivors[1, 3] = False
        born = mask & ~survivors
        assert int(mask.sum()) == 6
        assert int(born.sum()) == 2
        assert torch.equal(torch.where(survivors, weight, 0), torch.where(survivors, WEIGHT, 0))
        assert torch.equal(weight[born], torch.where(positive, 1e-12, -1e-12)[born])
        assert (momentum(method)[~survivors] == 0).all()
        assert method.dense_gradients == 0
        grown |= {tuple(place) for place in born.nonzero().tolist()}
        assert not step(method, torch.zeros(4, 4))
    # All of the twelve free places come up, those that have just died included.
    assert {(0, 0), (1, 3)} < grown
    assert len(grown) > 9


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["deepr", "bsr"])
def test_signs_never_change_and_the_count_is_exact(name: str, optimizer: str) -> None:
    dense = dict(network().named_parameters())
    problem = Problem(name, optimizer, noise=0.05, l1=0.01)
    method, changes = problem.method, 0
    before = method.active()
    for name_, positive in method.positive.items():
        assert torch.equal(positive, dense[name_] > 0)
    for changed in problem.steps():
        changes += changed
        for layer, mask in method.masks.items():
            assert (method.theta(layer)[mask] > 0).all()
        assert sum(method.active().values()) == sum(before.values())
        if name == "deepr":
            assert method.active() == before
    assert changes > 6
    if name == "bsr":
        assert method.active() != before


def test_l1_shrinks_and_noise_spreads_the_connected_weights_only() -> None:
    method = four_by_four("deepr", lr=0.1, l1=0.5, noise=0.0)
    method.positive["weight"].copy_(WEIGHT >= 0)
    step(method, torch.zeros(4, 4))
    expected = torch.where(MASK, WEIGHT - 0.05 * WEIGHT.sign(), 0)
    torch.testing.assert_close(method.model.weight.detach(), expected)

    layer = nn.Linear(200, 200, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    options = {"noise": 0.01, "l1": 0.0}
    method = METHODS.create("deepr", layer, optimizer, options=options, sparsity=0.5, seed=1)
    before, mask = layer.weight.detach().clone(), method.masks["weight"].clone()
    method.advance()
    stayed = mask & method.masks["weight"] & (layer.weight.abs() > 1e-6)
    change = (layer.weight.detach() - before)[stayed] / (0.1 * 0.01)
    # About 19,500 draws: standard errors of 0.0072 and 0.0051; five of them.
    assert change.mean().item() == pytest.approx(0, abs=0.036)
    assert change.std().item() == pytest.approx(1, abs=0.026)


def test_the_learning_rate_is_that_of_the_moment_and_of_the_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.4)
    method = METHODS.create("deepr", model, optimizer, options={}, sparsity=0.5)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.param_groups[1]["lr"] = 0.2
    assert [method.learning_rate(name) for name in method.masks] == [0.1, 0.2]
    with pytest.raises(ValueError, match="needs the optimizer"):
        METHODS.create("deepr", model, None, options={}, sparsity=0.5)


def test_the_noise_of_the_agent_fork() -> None:
    method = four_by_four("bsr", lr=0.08, noise=1e-3, noise_rule="agent", total_steps=10)
    method.begin([None] * 4, None)
    scales = []
    for method.steps in (1, 5, 6, 10):
        scales.append(method.noise_scale("weight"))
    early = math.sqrt(2 * 0.08 / 4) * 1e-3
    assert scales == pytest.approx([early, early, 10 * early, 10 * early])
    assert four_by_four("bsr", lr=0.08, noise=1e-3).noise_scale("weight") == 0.08 * 1e-3


def rewirer(sizes: list[int]) -> BSR:
    """BSR with layers of these sizes."""
    model = nn.Sequential(*(nn.Linear(size, 1, bias=False) for size in sizes))
    return BSR(
        model, torch.optim.SGD(model.parameters(), lr=0.1), sparsity=0.0, total_steps=9, seed=3
    )


@given(st.lists(st.tuples(st.integers(1, 9), st.data()), min_size=1, max_size=5))
def test_births_are_as_many_as_deaths_and_fit(layers: list) -> None:
    sizes = [size for size, _ in layers]
    active = [data.draw(st.integers(1, size)) for size, data in layers]
    dead = [data.draw(st.integers(0, n)) for n, (_, data) in zip(active, layers, strict=True)]
    names = [f"{i}.weight" for i in range(len(sizes))]
    method = rewirer(sizes)
    born = method.births(dict(zip(names, dead, strict=True)), dict(zip(names, active, strict=True)))
    assert sum(born.values()) == sum(dead)
    for name, size, n, gone in zip(names, sizes, active, dead, strict=True):
        assert 1 <= n - gone + born[name] <= size


def test_births_fall_into_layers_in_proportion_to_their_size() -> None:
    method = rewirer([100, 300])
    names = ["0.weight", "1.weight"]
    totals = [0, 0]
    for method.steps in range(400):
        born = method.births({names[0]: 0, names[1]: 10}, {names[0]: 20, names[1]: 30})
        totals = [total + born[name] for total, name in zip(totals, names, strict=True)]
    # 4,000 draws: a standard error of √(¼ · ¾ / 4000) = 0.0068; five of them.
    assert totals[0] / sum(totals) == pytest.approx(0.25, abs=0.035)


def test_a_new_connection_of_half_precision_is_not_zero() -> None:
    layer = nn.Linear(4, 4, bias=False).half()
    method = METHODS.create(
        "deepr", layer, torch.optim.SGD(layer.parameters(), lr=0.1), options={}, sparsity=0.5
    )
    with torch.no_grad():
        layer.weight.copy_(-layer.weight)
    method.advance()
    weight: Tensor = layer.weight[method.masks["weight"]]
    assert len(weight) == 8
    assert (weight != 0).all()
