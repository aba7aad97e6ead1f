"""Steps that a GradScaler leaves out, and gradients that are not finite though a step was made."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import SET, SNFS, RigL, rng
from agc.conformance.method_problem import often
from agc.methods.base import SparseMethod
from agc.methods.shared.left_out import StepWatch
from agc.registry import METHODS

STEPS = 24
OVERFLOWS = 2.0**40
"""A scale with which every gradient overflows."""
LEFT_OUT = (1, 2, 8, 11, 12, 13, 23)
"""Steps of which 8 and 12 would end with an update."""
SPARSE = [name for name in METHODS.names() if name not in ("dense", "small-dense")]


def network() -> nn.Module:
    with rng.isolated(0):
        return nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(24, 5)
        )


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = rng.generator(1, "batches")
    return [
        (
            torch.randn(16, 2, 6, 6, generator=generator),
            torch.randint(5, (16,), generator=generator),
        )
        for _ in range(STEPS)
    ]


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    with torch.autocast("cpu", torch.float16):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])


def optimizer_of(model: nn.Module, kind: str) -> torch.optim.Optimizer:
    makers: dict[str, Any] = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        # Fused SGD begins with a momentum of anything if its first step is left out.
        "fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    }
    return makers[kind](model.parameters())


@pytest.mark.parametrize("kind", ["sgd", "fused"])
@pytest.mark.parametrize("name", SPARSE)
def test_a_scaler_that_overflows_costs_no_update_and_no_weight(name: str, kind: str) -> None:
    model = network()
    optimizer = optimizer_of(model, kind)
    method = METHODS.create(
        name,
        model,
        optimizer,
        options=often(name, update_interval=4, late_interval=4),
        sparsity=0.75,
        total_steps=STEPS,
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=OVERFLOWS)
    data, updates = batches(), []
    method.begin(data, loss_fn)
    for number, batch in enumerate(data, 1):
        before = copy.deepcopy([model.state_dict(), method.masks])
        with method.updating() as update:
            optimizer.zero_grad()
            with method.shown(batch, loss_fn):
                loss = loss_fn(model, batch)
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                method.observe(loss.detach())
            scaler.step(optimizer)
        scaler.update(OVERFLOWS if number + 1 in LEFT_OUT else 2.0**10)
        if number in LEFT_OUT:
            assert not update.changed
            for old, new in zip(before, [model.state_dict(), method.masks], strict=True):
                assert all(torch.equal(old[key], new[key]) for key in new)
        elif update.changed:
            updates.append(number)
    method.end(data, loss_fn)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert sum(method.active().values()) == round(
        (1 - method.target) * sum(p.numel() for p in method.parameters.values())
    )
    if name in ("set", "rigl", "dst-ee", "mest", "srigl"):
        # Each update comes in its own step, or in the first good one after it.
        good = [number for number in range(1, STEPS + 1) if number not in LEFT_OUT]
        due = [number for number in range(1, STEPS + 1) if method.update_due(number)]
        first = [next((step for step in good if step >= number), None) for number in due]
        assert updates == sorted({step for step in first if step})


def overflowing(method: SparseMethod, step: bool, where: float = torch.inf) -> bool:
    """A step whose gradient is infinite in a column; the optimizer may make it all the same."""
    with method.updating() as update:
        for parameter in method.parameters.values():
            parameter.grad = torch.ones_like(parameter)
            parameter.grad[:, 1] = where
        method.observe(torch.tensor(1.0))
        if step:
            method.optimizer.step()
    return update.changed


GROWS = ["rigl", "rigl-itop", "granet", "srigl", "dst-ee", "cigl", "rigl+swa", "snfs", "mest"]


def one_layer(name: str, **options: Any) -> SparseMethod:
    with rng.isolated(0):
        model = nn.Linear(12, 12, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    known = METHODS.options(name).model_fields
    options = {"update_interval": 1} | options
    return METHODS.create(
        name,
        model,
        optimizer,
        options={key: value for key, value in options.items() if key in known},
        sparsity=0.5,
        total_steps=100,
    )


@pytest.mark.parametrize("where", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("name", GROWS)
def test_a_step_that_is_made_with_a_gradient_that_is_not_finite_raises(
    name: str, where: float
) -> None:
    method = one_layer(name)
    before = method.masks["weight"].clone()
    with pytest.raises(FloatingPointError, match="layer 'weight' is not finite at step 1"):
        overflowing(method, step=True, where=where)
    assert torch.equal(method.masks["weight"], before)


def test_weights_that_are_not_a_number_raise_and_name_the_layer() -> None:
    method = one_layer("set")
    with pytest.raises(FloatingPointError, match="layer 'weight': a mask update met NaN"):
        overflowing(method, step=True, where=torch.nan)


def test_without_the_optimizer_single_precision_says_what_is_missing() -> None:
    method = RigL(nn.Linear(4, 4), None, sparsity=0.5, total_steps=10, update_interval=1)
    with pytest.raises(FloatingPointError, match="give the method the optimizer itself"):
        overflowing(method, step=False)
    half = RigL(nn.Linear(4, 4).half(), None, sparsity=0.5, total_steps=10, update_interval=1)
    assert not overflowing(half, step=False)
    assert half.put_off == 1


@pytest.mark.parametrize("interval", [1, 3])
def test_several_updates_that_were_put_off_are_made_once(interval: int) -> None:
    method = one_layer("set", update_interval=interval)
    changed = [overflowing(method, step=False) for _ in range(4)]
    changed += [overflowing(method, step=True, where=0.1) for _ in range(2)]
    # With 3, the update of step 3 comes with step 5, and that of step 6 in its own.
    assert changed == [False] * 4 + [True, True]
    assert method.put_off == 0


def test_the_last_prunings_are_not_lost() -> None:
    method = one_layer("granet", prune_end_fraction=0.02, update_interval=2, end_fraction=0.01)
    overflowing(method, step=True, where=0.1)
    assert not overflowing(method, step=False)
    assert int(method.masks["weight"].sum()) == 72
    method = one_layer("gmp", end_fraction=0.02, update_interval=2)
    overflowing(method, step=True, where=0.1)
    overflowing(method, step=False)
    assert method.sparsity() == 0.0
    assert overflowing(method, step=True, where=0.1)
    assert method.sparsity() == 0.5


def test_sparse_momentum_forgets_a_step_that_was_left_out() -> None:
    method, plain = (one_layer("snfs", update_interval=50) for _ in range(2))
    assert isinstance(method, SNFS)
    for one in (method, plain):
        overflowing(one, step=True, where=0.3)
    overflowing(method, step=False)
    for one in (method, plain):
        overflowing(one, step=True, where=-0.3)
    assert torch.equal(method.smoothed["weight"], plain.smoothed["weight"])


def test_growth_needs_a_gradient_to_look_at() -> None:
    method = one_layer("rigl", update_interval=2)
    weight = method.parameters["weight"]
    for number in (1, 2):
        weight.grad = torch.ones_like(weight)
        method.optimizer.step()
        method.optimizer.zero_grad()
        if number == 2:
            with pytest.raises(RuntimeError, match=r"step 2: call it after backward\(\)"):
                method.observe()
            with pytest.raises(RuntimeError, match=r"call observe\(\) in each step"):
                method.advance()
        else:
            method.observe()
            method.advance()


def test_the_hook_goes_with_the_method_and_is_in_no_pickle() -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = SET(model, optimizer, sparsity=0.5, total_steps=4)
    assert len(optimizer._optimizer_step_post_hooks) == 1
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    pickle.dumps(optimizer)
    other = copy.deepcopy(method)
    assert other.optimizer is not optimizer
    assert len(other.optimizer._optimizer_step_post_hooks) == 1
    del method
    gc.collect()
    assert not optimizer._optimizer_step_post_hooks
    model.weight.grad = torch.ones(4, 4)
    optimizer.step()


def test_a_copy_watches_its_own_optimizer() -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = StepWatch(optimizer)
    pair = copy.deepcopy([optimizer, watch])
    pair[0].step()
    assert watch.taken() is False
    assert pair[1].taken() is True
    assert pair[1].taken() is False
    assert StepWatch(None).taken() is None
