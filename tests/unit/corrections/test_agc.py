from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agc import AGC
from tests.support.agc_problems import (
    Batch,
    fixed,
    gradient,
    mean_loss,
    move,
    partition,
    smooth_network,
)


def test_at_the_snapshot_each_corrected_gradient_is_the_full_gradient() -> None:
    model, batches = smooth_network(), partition()
    correction = fixed(model, 1.0)
    correction.begin_epoch(batches, mean_loss)
    raw = torch.stack([gradient(model, batch) for batch in batches])
    corrected = torch.stack([gradient(model, batch, correction) for batch in batches])
    assert (raw - raw.mean(dim=0)).abs().max() > 1e-2
    torch.testing.assert_close(corrected, raw.mean(dim=0).expand_as(raw), rtol=0, atol=1e-15)


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
    with pytest.raises(RuntimeError, match=r"before begin_epoch"):
        other.correct(partition()[0], mean_loss)


def test_mistakes_are_told() -> None:
    correction = AGC(smooth_network())
    with pytest.raises(RuntimeError, match=r"AGC\.correct was called before begin_epoch"):
        correction.correct(partition()[0], mean_loss)
    with pytest.raises(ValueError, match="got no batches"):
        correction.begin_epoch([], mean_loss)
    with pytest.raises(ValueError, match="unknown variant 'best'"):
        AGC(smooth_network(), variant="best")
