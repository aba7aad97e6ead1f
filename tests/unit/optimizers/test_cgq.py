"""CGQ in a loop of one's own: closed forms, the published traces, torch's SGD, and its state."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import CGQ, Lookahead
from agc.errors import UserError
from agc.optimizers.base import optimizer_cost
from agc.optimizers.shared.conjugate import FORMULAS

CURVATURE = torch.tensor([1.0, 2.0, 5.0, 9.0], dtype=torch.float64)
FIRST = (1.0, -2.0, 3.0, 0.5)
PUBLISHED = {
    **{"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 3e-4, "bound": 0.3},
    **{"trial": 0.1, "ls_prob": 1.0, "variant": "published"},
}
"""Those of the paper's training script."""
UNBOUND = {"lr": 0.1, "bound": 1e6, "trial": 0.1, "momentum_bound": 1e6, "ls_prob": 1.0}


def quadratic(steps: int, **options: Any) -> tuple[Tensor, list[float], CGQ]:
    """The end of some steps on a quadratic, the losses from the first on, and the optimizer."""
    weight = torch.tensor(FIRST, dtype=torch.float64, requires_grad=True)
    optimizer = CGQ([weight], **options)

    def loss() -> Tensor:
        return 0.5 * (CURVATURE * weight * weight).sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss().backward()
        return loss().detach()

    losses = [optimizer.step(closure).item() for _ in range(steps)]
    return weight.detach(), [*losses, loss().item()], optimizer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        images = torch.randn(5, 6, generator=torch.Generator().manual_seed(step))

        def closure(images: Tensor = images) -> Tensor:
            optimizer.zero_grad()
            loss = model(images).pow(2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("beta", FORMULAS)
def test_as_many_steps_as_dimensions_end_at_the_minimum_of_a_quadratic(beta: str) -> None:
    assert quadratic(4, beta=beta, **UNBOUND)[1][-1] < 1e-20
    assert quadratic(3, beta=beta, **UNBOUND)[1][-1] > 1e-3


@pytest.mark.parametrize("beta", FORMULAS)
def test_two_of_the_published_signs_leave_steepest_descent(beta: str) -> None:
    left = quadratic(4, beta=beta, variant="published", **UNBOUND)[1][-1]
    if beta in ("pr", "fr"):
        assert left < 1e-20
    else:
        assert left == pytest.approx(0.208, abs=5e-4)


@pytest.mark.parametrize("points", [2, 3])
def test_the_published_variant_follows_its_code_step_by_step(points: int) -> None:
    end, _, optimizer = quadratic(3, points=points, **PUBLISHED)
    expected = (0.48771058585999294, -0.35598689387779686, -0.03374845959996311)
    assert end.tolist() == pytest.approx([*expected, -0.15409319489740067], abs=1e-12)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.15952759152098805, abs=1e-12)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.35845555626114867, abs=1e-12)


def test_the_published_variant_counts_the_first_gradient_again() -> None:
    settings = {"lr": 0.01, "momentum": 0.9, "ls_prob": 0.0}
    published = quadratic(3, variant="published", **settings)[1]
    assert published[1:] == pytest.approx([23.384, 17.651, 11.981], abs=5e-4)
    assert quadratic(3, **settings)[1][1:] == pytest.approx([25.570, 21.196, 15.968], abs=5e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
        {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
        {"momentum": 0.0, "nesterov": False, "weight_decay": 1e-3},
    ],
)
def test_without_searches_it_is_torch_s_sgd_to_the_bit(settings: dict[str, Any]) -> None:
    ours, theirs = network(), network()
    torch.manual_seed(1)
    steps(ours, CGQ(ours.parameters(), lr=0.05, ls_prob=0.0, **settings), 0, 12)
    torch.manual_seed(1)
    steps(theirs, torch.optim.SGD(theirs.parameters(), lr=0.05, **settings), 0, 12)
    assert equal(weights(ours), weights(theirs))


def test_the_step_is_within_the_bound() -> None:
    _, losses, optimizer = quadratic(6, lr=0.01, bound=0.02, ls_prob=1.0)
    assert losses == sorted(losses, reverse=True)
    assert 0.01 < optimizer.param_groups[0]["lr"] <= 0.02


def test_searches_draw_what_the_closure_drew_and_move_no_stream() -> None:
    streams = []
    for ls_prob in (0.0, 1.0):
        model, masks = network(), []
        model[1].register_forward_hook(lambda *call, masks=masks: masks.append(call[2] != 0))
        optimizer = CGQ(model.parameters(), lr=0.05, ls_prob=ls_prob)
        torch.manual_seed(3)
        steps(model, optimizer, 0, 1)
        streams.append(torch.get_rng_state())
        assert all(torch.equal(mask, masks[0]) for mask in masks)
        assert len(masks) == 1 + optimizer.param_groups[0]["probed"]
    assert torch.equal(*streams)
    assert optimizer.param_groups[0]["probed"] >= 2


def test_the_closure_s_first_gradient_stays() -> None:
    model = network()
    optimizer = CGQ(model.parameters(), lr=0.05, ls_prob=1.0)
    gradients: list[list[Tensor]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model[3](torch.ones(2, 8)).pow(2).mean()
        loss.backward()
        gradients.append([p.grad.clone() for p in model[3].parameters()])
        return loss

    optimizer.step(closure)
    assert len(gradients) > 2
    assert equal([p.grad for p in model[3].parameters()], gradients[0])
    assert not equal(gradients[1], gradients[0])


@pytest.mark.parametrize("copied", ["state", "deepcopy", "pickle"])
def test_it_goes_on_with_the_same_bits(copied: str) -> None:
    def make(model: nn.Module) -> CGQ:
        settings = {"lr": 0.05, "momentum": 0.8, "nesterov": True, "ls_prob": 0.4}
        return CGQ(model.parameters(), seed=5, **settings)

    whole, model = network(), network()
    torch.manual_seed(2)
    steps(whole, make(whole), 0, 14)
    torch.manual_seed(2)
    optimizer = make(model)
    steps(model, optimizer, 0, 7)
    if copied == "state":
        fresh = make(model)
        fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer = fresh
    elif copied == "deepcopy":
        model, optimizer = copy.deepcopy((model, optimizer))
    else:
        model, optimizer = pickle.loads(pickle.dumps((model, optimizer)))
    steps(model, optimizer, 7, 14)
    assert equal(weights(model), weights(whole))
    kept = optimizer.param_groups[0]
    assert kept["steps"] == kept["epoch_steps"] == 14
    assert 0 < kept["probed"] < 14 * 2


def test_an_epoch_of_short_steps_shortens_the_trial_step() -> None:
    optimizer = quadratic(3, lr=0.05, ls_prob=0.0)[2]
    kept = optimizer.param_groups[0]
    assert kept["epoch_rates"] == pytest.approx(3 * 0.05)
    for expected in (0.08, 0.08):  # the second epoch has no step
        optimizer.begin_epoch()
        assert kept["trial"] == pytest.approx(expected)
    longer = quadratic(3, lr=0.2, ls_prob=0.0)[2]
    longer.begin_epoch()
    assert longer.param_groups[0]["trial"] == pytest.approx(0.1)


def test_groups_are_searched_together() -> None:
    both = [torch.full((2,), 3.0, requires_grad=True) for _ in range(2)]
    optimizer = CGQ([{"params": [w]} for w in both], lr=0.1, bound=10.0, trial=1.0, ls_prob=1.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((w * w).sum() for w in both)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(torch.stack(both), torch.zeros(2, 2), atol=1e-6)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3, 0.3])


def test_what_cannot_be_searched_is_refused_and_nothing_is_done_without_gradients() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = CGQ([weight], lr=0.1, ls_prob=1.0)
    assert optimizer.step() is None
    assert optimizer.param_groups[0]["steps"] == 0
    weight.sum().backward()
    with pytest.raises(RuntimeError, match="give step"):
        optimizer.step()
    optimizer.step(probe=lambda: weight.detach().pow(2).sum())
    assert optimizer.param_groups[0]["steps"] == 1
    with pytest.raises(UserError, match=r"trial = 0\.5 is beyond option bound = 0\.3"):
        CGQ([weight], lr=0.1, trial=0.5)
    with pytest.raises(UserError, match="unknown beta 'prp'; did you mean 'pr'"):
        CGQ([weight], lr=0.1, beta="prp")
    assert "no probes" in Lookahead.refuse(None, k=5, alpha=0.5, inner="cgq")


def test_a_probe_that_fails_leaves_the_weights_where_they_were() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = CGQ([weight], lr=0.1, ls_prob=1.0)
    (3 * weight).sum().backward()

    def probe() -> Tensor:
        if torch.equal(weight, torch.ones(3)):
            return weight.sum()
        raise MemoryError

    with pytest.raises(MemoryError):
        optimizer.step(probe=probe)
    assert torch.equal(weight, torch.ones(3))


def test_the_declared_cost_is_that_of_its_coins() -> None:
    cost = [optimizer_cost("cgq", {"ls_prob": p}).step for p in (0.0, 0.1, 1.0)]
    assert cost == pytest.approx([0.0, 0.1 * cost[2], cost[2]])
    assert 2 < cost[2] < 4  # the first step, and one to three tries
    assert optimizer_cost("cgq", {"ls_prob": 1.0, "tries": 1}).step == 1
    assert optimizer_cost("cgq", {}).tensors == 1
