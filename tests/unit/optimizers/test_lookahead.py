"""Lookahead against the rule of its paper (arXiv 1907.08610, algorithm 1)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR

from agc import Lookahead, RigL
from agc.errors import UserError
from agc.grids.cell import make_cell

STEPS = 12


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def gradients(model: nn.Module, step: int) -> None:
    images = torch.randn(5, 6, generator=torch.Generator().manual_seed(step)).double()
    model.zero_grad()
    model(images).pow(2).mean().backward()


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def path(make: Callable[[nn.Module], torch.optim.Optimizer], steps: int = STEPS) -> list[Tensor]:
    model = network()
    optimizer = make(model)
    for step in range(steps):
        gradients(model, step)
        optimizer.step()
    return weights(model)


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("inner", ["sgd", "adamw"])
@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (3, 0.5), (5, 0.8), (5, 0.0)])
def test_the_slow_weights_follow_the_paper_s_rule(inner: str, k: int, alpha: float) -> None:
    found = path(lambda m: Lookahead(m.parameters(), lr=0.05, k=k, alpha=alpha, inner=inner))
    model = network()
    fast = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[inner](
        model.parameters(), lr=0.05, weight_decay=0.0
    )
    slow = weights(model)  # phi_0 is theta_0
    for step in range(STEPS):
        gradients(model, step)
        fast.step()
        if (step + 1) % k == 0:
            with torch.no_grad():
                for phi, theta in zip(slow, model.parameters(), strict=True):
                    phi.add_(theta - phi, alpha=alpha)
                    theta.copy_(phi)
    torch.testing.assert_close(found, weights(model), rtol=1e-12, atol=1e-14)


def test_at_alpha_1_it_is_its_inner_optimizer() -> None:
    settings = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    found = path(lambda m: Lookahead(m.parameters(), k=3, alpha=1.0, **settings))
    plain = path(lambda m: torch.optim.SGD(m.parameters(), **settings))
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("inner", ["sgd", "adamw"])
@pytest.mark.parametrize("copied", ["state", "deepcopy", "pickle"])
def test_it_goes_on_with_the_same_bits(inner: str, copied: str) -> None:
    def make(model: nn.Module) -> Lookahead:
        return Lookahead(model.parameters(), lr=0.05, momentum=0.9, k=5, inner=inner)

    model = network()
    optimizer = make(model)
    for step in range(STEPS):
        if step == 7:  # between two slow steps
            if copied == "state":
                fresh = make(model)
                fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer = fresh
            elif copied == "deepcopy":
                model, optimizer = copy.deepcopy((model, optimizer))
            else:
                model, optimizer = pickle.loads(pickle.dumps((model, optimizer)))
        gradients(model, step)
        optimizer.step()
    assert equal(weights(model), path(make))


def test_a_checkpoint_holds_plain_containers_and_tensors_alone(tmp_path) -> None:
    model = network()
    optimizer = Lookahead(model.parameters(), lr=0.05, momentum=0.9)
    gradients(model, 0)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert [sorted(slots) for slots in state["state"].values()] == [["momentum_buffer", "slow"]] * 4
    assert state["param_groups"][0]["fast_steps"] == 1


def test_schedules_reach_the_inner_optimizer() -> None:
    model = network()
    optimizer = Lookahead(model.parameters(), lr=1.0, k=100)
    schedule = MultiStepLR(optimizer, [1], gamma=0.0)
    gradients(model, 0)
    optimizer.step()
    schedule.step()
    before = weights(model)
    gradients(model, 1)
    optimizer.step()
    assert equal(weights(model), before)


def test_pruned_weights_do_not_come_back_with_the_slow_ones() -> None:
    model = network().float()
    optimizer = Lookahead(model.parameters(), lr=0.5, momentum=0.9, k=2)
    method = RigL(model, optimizer, sparsity=0.5, total_steps=40, update_interval=3)
    changes = 0
    for step in range(STEPS):
        images = torch.randn(5, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        with method.updating() as update:
            model(images).pow(2).mean().backward()
            method.observe()
            optimizer.step()
        changes += update.changed
        for name, mask in method.masks.items():
            weight = method.parameters[name]
            assert not weight[~mask].any()
            assert not optimizer.state[weight]["slow"][~mask].any()
    assert changes >= 2


def test_weights_without_a_gradient_stay_and_join_later() -> None:
    model = network()
    optimizer = Lookahead(model.parameters(), lr=0.05, k=1, inner="adamw")
    late = next(model.parameters())
    for step in range(4):
        gradients(model, step)
        if step < 2:
            late.grad = None
        optimizer.step()
        assert ("slow" in optimizer.state.get(late, {})) == (step >= 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner": "lookahead"}, "optimizer 'lookahead': option inner = 'lookahead': it cannot"),
        ({"inner": "adm"}, "unknown optimizer 'adm'; did you mean 'adamw'"),
        ({"k": 0}, "option k = 0"),
        ({"alpha": 2}, "option alpha = 2"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_runs(options: dict, message: str) -> None:
    optimizer = {"name": "lookahead", "options": options}
    with pytest.raises(UserError) as caught:
        make_cell(
            {"dataset": "digits", "architecture": "resnet8", "training": {"optimizer": optimizer}}
        )
    assert message.split("; did")[0] in str(caught.value)
