from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from agc import AGC, RigL, rng

Batch = tuple[Tensor, Tensor]


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


def smooth_network() -> nn.Module:
    """In float64, without random layers and batch statistics: the same loss in every pass."""
    with rng.isolated(1):
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def noisy_network() -> nn.Module:
    """With batch norm, dropout, a frozen weight, a module in evaluation mode, a tied weight."""
    with rng.isolated(2):
        model = nn.Sequential(
            nn.Linear(6, 6),
            nn.BatchNorm1d(6),
            nn.Dropout(0.3),
            nn.Linear(6, 6, bias=False),
            nn.BatchNorm1d(6),
            nn.Linear(6, 4),
        )
    model[3].weight = model[0].weight
    model[4].eval()
    model[5].bias.requires_grad_(False)
    return model


def partition(dtype: torch.dtype = torch.float64, sizes: tuple[int, ...] = (9,) * 5) -> list[Batch]:
    generator = rng.generator(0, "data")
    return [
        (
            torch.randn(size, 6, generator=generator, dtype=dtype),
            torch.randint(4, (size,), generator=generator),
        )
        for size in sizes
    ]


def fixed(model: nn.Module, coefficient: float) -> AGC:
    """With a coefficient that no loss changes."""
    return AGC(model, gamma=coefficient, tau0=1.0, alpha=0.0)


def gradient(model: nn.Module, batch: Batch, correction: AGC | None = None) -> Tensor:
    """Flat gradient of a batch, corrected if a correction is given."""
    model.zero_grad()
    mean_loss(model, batch).backward()
    if correction is not None:
        correction.correct(batch, mean_loss)
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()]).clone()


def move(model: nn.Module, scale: float = 0.3) -> None:
    generator = rng.generator(7, "move")
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=scale)


# --- what the correction is -------------------------------------------------------------------


def test_at_the_snapshot_each_corrected_gradient_is_the_full_gradient() -> None:
    model, batches = smooth_network(), partition()
    correction = fixed(model, 1.0)
    correction.begin_epoch(batches, mean_loss)
    raw = torch.stack([gradient(model, batch) for batch in batches])
    corrected = torch.stack([gradient(model, batch, correction) for batch in batches])
    assert (raw - raw.mean(dim=0)).abs().max() > 1e-2
    torch.testing.assert_close(
        corrected, raw.mean(dim=0).expand_as(raw), rtol=0, atol=1e-15
    )


@settings(max_examples=20)
@given(coefficient=st.floats(0, 3), unequal=st.booleans())
def test_corrected_gradients_of_a_partition_have_the_mean_of_the_raw_ones(
    coefficient: float, unequal: bool
) -> None:
    # Each step weighs the same, so the mean is over batches, also where the last one is small.
    batches = partition(sizes=(9, 9, 9, 4) if unequal else (9,) * 5)
    model = smooth_network()
    correction = fixed(model, coefficient)
    correction.begin_epoch(batches, mean_loss)
    move(model)
    raw = torch.stack([gradient(model, batch) for batch in batches])
    corrected = torch.stack([gradient(model, batch, correction) for batch in batches])
    if coefficient > 1e-3:
        assert (raw - corrected).abs().max() > 1e-6
    torch.testing.assert_close(corrected.mean(dim=0), raw.mean(dim=0), rtol=0, atol=1e-14)


def test_near_the_snapshot_a_coefficient_of_one_takes_nearly_all_of_the_variance() -> None:
    batches, model = partition(), smooth_network()
    variances = []
    for coefficient in (0.0, 0.5, 1.0):
        correction = fixed(model, coefficient)
        correction.begin_epoch(batches, mean_loss)
        moved = copy.deepcopy(model.state_dict())
        move(model, 1e-3)
        corrected = torch.stack([gradient(model, batch, correction) for batch in batches])
        variances.append(corrected.var(dim=0).sum().item())
        model.load_state_dict(moved)
    # Where both gradients agree, the variance falls with (1 - c)².
    assert variances[1] == pytest.approx(variances[0] / 4, rel=0.02)
    assert variances[2] < 1e-4 * variances[0]


# --- τ ------------------------------------------------------------------------------------------


class Line(nn.Module):
    """One weight, so that each batch (a, b) has the loss a + w b."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))


def line_loss(model: nn.Module, batch: tuple[float, float]) -> Tensor:
    return batch[0] + model.weight * batch[1]


def tau_of(before: np.ndarray, now: np.ndarray, tau0: float = 0.1, alpha: float = 0.3) -> float:
    """τ after a pass with losses ``now`` at the weights and ``before`` at the snapshot."""
    model = Line()
    correction = AGC(model, alpha=alpha, tau0=tau0)
    batches = list(zip(before.tolist(), (now - before).tolist(), strict=True))
    correction.begin_epoch(batches, line_loss)
    correction.tau = tau0
    with torch.no_grad():
        model.weight.fill_(1.0)
    correction.begin_epoch(batches, line_loss)
    return correction.tau


LOSSES = st.lists(st.integers(-64, 64).map(lambda k: k / 8), min_size=8, max_size=8)


@given(LOSSES, LOSSES, st.integers(2, 8))
def test_tau_is_that_of_numpy(before: list[float], now: list[float], count: int) -> None:
    older, newer = np.array(before[:count]), np.array(now[:count])
    variance = np.var(older, ddof=1)
    found = tau_of(older, newer)
    if variance == 0:
        assert found == 0.1
    else:
        current = np.cov(newer, older, ddof=1)[0, 1] / variance
        assert found == pytest.approx(0.7 * 0.1 + 0.3 * current, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("slope", [-2.0, 0.0, 0.5, 3.0])
def test_tau_of_linear_losses_is_their_slope(slope: float) -> None:
    before = np.array([0.3, 1.7, 2.2, 0.9])
    assert tau_of(before, 5 + slope * before, alpha=1.0) == pytest.approx(slope, abs=1e-12)


@given(st.floats(1e-3, 1e3), st.integers(1, 12))
def test_losses_that_do_not_vary_leave_tau_alone(loss: float, count: int) -> None:
    before = np.full(count, loss)
    assert tau_of(before, np.linspace(1, 2, count)) == 0.1


def test_one_batch_leaves_tau_alone() -> None:
    assert tau_of(np.array([1.0]), np.array([2.0])) == 0.1


def test_tau_forgets_by_the_closed_form() -> None:
    # The losses w x_b have the ratio w_e / w_(e-1) as their slope.
    model, ratios = Line(1.0), [1.0, 0.5, 2.0, -1.0, 0.25]
    correction = AGC(model, gamma=0.2, alpha=0.3, tau0=0.1)
    batches = [(0.0, x) for x in (1.0, 2.0, 4.0)]
    for epoch, ratio in enumerate(ratios, start=1):
        with torch.no_grad():
            model.weight.mul_(ratio)
        correction.begin_epoch(batches, line_loss)
        past = [0.3 * 0.7 ** (epoch - k) * ratios[k - 1] for k in range(1, epoch + 1)]
        assert correction.tau == pytest.approx(0.7**epoch * 0.1 + sum(past), abs=1e-12)
        assert correction.coefficient == 0.2 * correction.tau
        assert correction.diagnostics() == {
            "tau": correction.tau,
            "coefficient": correction.coefficient,
        }


# --- what it leaves alone -------------------------------------------------------------------------


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
    assert set(correction.full_gradient) == {n for n, _ in model.named_parameters()} - {*frozen}
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
            sparse.step()
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
        assert run.meter.updates == (2 if method == "rigl" else 0)
    assert len(runs[0]) == len(runs[1])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


# --- state and errors -----------------------------------------------------------------------------


def continue_training(model: nn.Module, correction: AGC, batches: list[Batch]) -> list[Tensor]:
    """The rest of an epoch and the next one."""
    for part in (batches[2:], batches):
        for batch in part:
            model.zero_grad()
            mean_loss(model, batch).backward()
            correction.correct(batch, mean_loss)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(parameter.grad, alpha=0.5)
        correction.begin_epoch(batches, mean_loss)
    return [*model.parameters(), torch.tensor(correction.tau)]


def test_a_state_taken_within_an_epoch_goes_on_with_the_same_bits() -> None:
    batches, model = partition(), smooth_network()
    correction = AGC(model, gamma=0.7)
    for _ in range(2):
        correction.begin_epoch(batches, mean_loss)
        move(model)
    gradient(model, batches[0], correction)
    weights = copy.deepcopy(model.state_dict())
    state = copy.deepcopy(correction.state_dict())
    expected = continue_training(model, correction, batches)

    other = smooth_network()
    other.load_state_dict(weights)
    restored = AGC(other, gamma=0.7)
    restored.load_state_dict(state)
    found = continue_training(other, restored, batches)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_state_from_before_the_first_epoch_can_be_restored() -> None:
    correction = AGC(smooth_network(), tau0=0.4)
    other = AGC(smooth_network())
    other.load_state_dict(correction.state_dict())
    assert other.tau == 0.4
    with pytest.raises(RuntimeError, match="before AGC.begin_epoch"):
        other.correct(partition()[0], mean_loss)


def test_mistakes_are_told() -> None:
    correction = AGC(smooth_network())
    with pytest.raises(RuntimeError, match=r"AGC\.correct was called before AGC\.begin_epoch"):
        correction.correct(partition()[0], mean_loss)
    with pytest.raises(ValueError, match="got no batches"):
        correction.begin_epoch([], mean_loss)
    with pytest.raises(ValueError, match="unknown variant 'best'"):
        AGC(smooth_network(), variant="best")


def test_a_failed_pass_leaves_the_buffers_as_they_were() -> None:
    model, batches = noisy_network(), partition(torch.float32)
    before = everything(model)

    def broken() -> Any:
        yield batches[0]
        raise KeyError

    with pytest.raises(KeyError):
        AGC(model).begin_epoch(broken(), mean_loss)
    assert differences(before, everything(model)) == set()
