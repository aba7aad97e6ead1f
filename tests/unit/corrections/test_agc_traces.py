"""What the gradient correction (AGC) leaves alone: all but the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from agc import AGC, RigL, rng
from agc.conformance.correction_problem import noisy_network
from tests.support.agc_problems import fixed, gradient, mean_loss, move, partition


def everything(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": [p.detach().clone() for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "flags": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "stream": torch.get_rng_state(),
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if torch.is_tensor(a) and torch.is_tensor(b) else a is b

    return {
        key
        for key in one
        if not all(equal(a, b) for a, b in zip(one[key], other[key], strict=True))
    }


def test_neither_the_pass_nor_the_correction_leaves_a_trace() -> None:
    model, batches = noisy_network(), partition(torch.float32)
    correction = fixed(model, 0.5)
    for _ in range(2):
        mean_loss(model, batches[0]).backward()
        before = everything(model)
        correction.begin_epoch(batches, mean_loss)
        assert differences(before, everything(model)) == set()
        move(model)
        before = everything(model)
        correction.correct(batches[1], mean_loss)
        assert differences(before, everything(model)) == {"gradients"}


def test_a_frozen_weight_gets_no_gradient_and_a_tied_one_gets_one() -> None:
    model, batches = noisy_network(), partition(torch.float32)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    correction = fixed(model, 1.0)
    correction.begin_epoch(batches, mean_loss)
    assert set(correction.mean) == {n for n, _ in model.named_parameters()} - {*frozen}
    gradient_before = []
    for batch in batches[:2]:
        model.zero_grad()
        mean_loss(model, batch).backward()
        gradient_before.append(model[0].weight.grad.clone())
        correction.correct(batch, mean_loss)
        assert model[5].bias.grad is None
        assert not torch.equal(model[0].weight.grad, gradient_before[-1])
    assert model[3].weight.grad is model[0].weight.grad


def test_tied_weights_are_corrected_once() -> None:
    with rng.isolated(3):
        model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Tanh(), nn.Linear(6, 6, bias=False))
    model = model.double()
    model[2].weight = model[0].weight
    batches = partition()
    correction = fixed(model, 1.0)
    correction.begin_epoch(batches, mean_loss)
    raw = torch.stack([gradient(model, batch) for batch in batches])
    corrected = torch.stack([gradient(model, batch, correction) for batch in batches])
    torch.testing.assert_close(corrected, raw.mean(dim=0).expand_as(raw), rtol=0, atol=1e-15)


def train_by_hand(correct: bool) -> list[Tensor]:
    """A user's own loop: torch's loader and dropout draw from the global stream."""
    torch.manual_seed(11)
    model = noisy_network()
    features = torch.cat([x for x, _ in partition(torch.float32)])
    labels = torch.cat([y for _, y in partition(torch.float32)])
    loader = DataLoader(TensorDataset(features, labels), batch_size=9, shuffle=True)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9
    )
    sparse = RigL(model, optimizer, sparsity=0.5, total_steps=20, update_interval=3)
    correction = AGC(model, gamma=0.0)
    for _ in range(4):
        if correct:
            correction.begin_epoch(loader, mean_loss)
        for batch in loader:
            optimizer.zero_grad()
            mean_loss(model, batch).backward()
            sparse.observe()
            if correct:
                correction.correct(batch, mean_loss)
            optimizer.step()
            sparse.advance()
    return [*model.state_dict().values(), *sparse.masks.values(), torch.get_rng_state()]


def test_in_a_loop_of_ones_own_a_coefficient_of_zero_changes_no_bit() -> None:
    plain, corrected = train_by_hand(correct=False), train_by_hand(correct=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, corrected, strict=True))


@pytest.mark.parametrize("objective", ["standard", {"name": "pgd-at", "options": {"steps": 2}}])
@pytest.mark.parametrize(("method", "sparsity"), [("dense", 0.0), ("rigl", 0.9)])
def test_in_the_suite_a_coefficient_of_zero_changes_no_bit(
    tiny_cell: Callable, objective: Any, method: str, sparsity: float
) -> None:
    from agc.training.build import build
    from agc.training.loop import train

    options = {"update_interval": 2} if method == "rigl" else {}
    runs = []
    for correction in ("none", {"name": "agc", "options": {"gamma": 0.0}}):
        cell = tiny_cell(
            objective=objective,
            method={"name": method, "options": options},
            sparsity=sparsity,
            correction=correction,
            seed=4,
        )
        run = build(cell)
        seen: list[Tensor] = []
        original = run.correction.correct

        def keep(batch: Any, loss_fn: Any, original: Any = original, seen: Any = seen) -> None:
            seen.extend([batch.images.clone(), batch.labels.clone()])
            original(batch, loss_fn)

        run.correction.correct = keep
        losses = [loss for _, loss in train(run)]
        momentum = [s["momentum_buffer"] for s in run.optimizer.state.values()]
        masks = list(run.method.masks.values())
        runs.append([*run.model.state_dict().values(), *masks, *momentum, *losses, *seen])
        assert run.ledger.updates == (2 if method == "rigl" else 0)
    assert len(runs[0]) == len(runs[1])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_a_failed_pass_leaves_the_buffers_as_they_were() -> None:
    model, batches = noisy_network(), partition(torch.float32)
    before = everything(model)

    def broken() -> Any:
        yield batches[0]
        raise KeyError

    with pytest.raises(KeyError):
        AGC(model).begin_epoch(broken(), mean_loss)
    assert differences(before, everything(model)) == set()
