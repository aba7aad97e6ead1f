from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from agc import rng
from agc.conformance.method_problem import OPTIMIZERS, Problem, loss_fn
from agc.methods.top_kast import TopKAST
from tests.support.method_examples import grid

DENSE = grid("""
.9 -.8 .7 .6
.5 .4 -.3 .2
.1 .05 .04 .03
.02 .01 .006 .003""")


def four_by_four(**options: object) -> TopKAST:
    """A = the 4 largest weights, B = the 8 largest."""
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(DENSE)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    return TopKAST(layer, optimizer, sparsity=0.75, **{"update_interval": 1, **options})


def step(method: TopKAST, gradient: torch.Tensor) -> bool:
    with method.updating() as update:
        with method.shown(None, None):
            method.model.weight.grad = gradient.clone()
            method.observe()
        method.optimizer.step()
    return update.changed


def test_a_step_worked_by_hand() -> None:
    method = four_by_four(exploration=0.0)
    assert torch.equal(method.model.weight, torch.where(DENSE.abs() >= 0.6, DENSE, 0))
    assert torch.equal(method.backward["weight"], DENSE.abs() >= 0.2)
    gradient = torch.zeros(4, 4)
    gradient[0, 3] = 0.5  # in A: .6 falls to .1
    gradient[1, 3] = -0.7  # in B only: .2 rises to .9, unseen by the forward pass so far
    gradient[2, 0] = -9.0  # outside B: .1 stays
    assert step(method, gradient)
    assert method.masks["weight"].nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [1, 3]]
    assert method.model.weight[1, 3].item() == pytest.approx(0.9)
    hidden = method.hidden["weight"]
    assert hidden[0, 3].item() == pytest.approx(0.1)
    assert hidden[2, 0].item() == pytest.approx(0.1)
    # B is .9 .9 .8 .7 .5 .4 .3 and, of the two that are near .1, the larger one.
    assert int(method.backward["weight"].sum()) == 8
    assert method.gradient_active() == {"weight": 8}


def test_the_penalty_is_stronger_where_a_weight_learns_and_does_not_act() -> None:
    method = four_by_four(exploration=0.01)
    with method.shown(None, None):
        method.model.weight.grad = torch.zeros(4, 4)
    # 0.01 w on A, 0.01 w / density on the rest of B, with density 1/4; nothing outside.
    a, b = DENSE.abs() >= 0.6, DENSE.abs() >= 0.2
    expected = torch.where(a, 0.01 * DENSE, torch.where(b, 0.04 * DENSE, 0))
    torch.testing.assert_close(method.model.weight.grad, expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_sets_are_exact_and_nested_and_only_b_learns(optimizer: str) -> None:
    problem = Problem("top-kast", optimizer, backward_ratio=1.5)
    method = problem.method
    sizes = {n: min(round(1.5 * c), method.masks[n].numel()) for n, c in method.counts.items()}
    assert method.gradient_active() == sizes

    def whole() -> dict[str, torch.Tensor]:
        return {n: p.detach() + method.hidden[n] for n, p in method.parameters.items()}

    before, sets = whole(), {n: b.clone() for n, b in method.backward.items()}
    for _ in problem.steps():
        after = whole()
        for layer, b in method.backward.items():
            a = method.masks[layer]
            assert not (a & ~b).any()
            assert int(a.sum()) == method.counts[layer]
            assert int(b.sum()) == sizes[layer]
            outside = ~sets[layer]
            assert torch.equal(after[layer][outside], before[layer][outside])
            assert not torch.equal(after[layer], before[layer])
            for slot in problem.optimizer.state[method.parameters[layer]].values():
                if slot.ndim:
                    assert (slot[~b] == 0).all()
        before, sets = after, {n: b.clone() for n, b in method.backward.items()}


def test_the_gradient_is_that_of_the_network_of_a() -> None:
    problem = Problem("top-kast", exploration=0.0)
    method, model, batch = problem.method, problem.model, problem.batches[0]
    alpha = {
        name: p.detach() * method.masks[name] if name in method.masks else p.detach()
        for name, p in model.named_parameters()
    }
    leaves = {name: value.clone().requires_grad_() for name, value in alpha.items()}
    expected = torch.autograd.grad(
        nn.functional.cross_entropy(functional_call(model, leaves, batch[0]), batch[1]),
        list(leaves.values()),
    )
    with method.updating(), method.shown(batch, loss_fn):
        loss_fn(model, batch).backward()
    for (name, parameter), gradient in zip(model.named_parameters(), expected, strict=True):
        inside = method.backward.get(name, torch.ones_like(gradient, dtype=torch.bool))
        torch.testing.assert_close(parameter.grad, gradient * inside)


def test_between_choices_the_sets_stay() -> None:
    method = four_by_four(update_interval=3)
    generator = rng.generator(0, "gradients")
    seen = []
    for _ in range(6):
        before = method.masks["weight"].clone(), method.backward["weight"].clone()
        step(method, torch.randn(4, 4, generator=generator))
        same = torch.equal(before[0], method.masks["weight"])
        seen.append(same and torch.equal(before[1], method.backward["weight"]))
    assert all(seen[number] for number in (0, 1, 3, 4))
    assert not all(seen)
