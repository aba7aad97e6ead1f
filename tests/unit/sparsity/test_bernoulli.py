from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agc.sparsity.bernoulli import policy_gradient, project

PROBABILITIES = torch.tensor([0.3, 0.8, 0.55], dtype=torch.float64)
MASKS = torch.tensor(list(itertools.product([0, 1], repeat=3)), dtype=torch.float64)
LOSSES = torch.rand(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
"""The loss under each of the eight masks; as losses are, some way above zero."""


def chance(masks: Tensor, probabilities: Tensor = PROBABILITIES) -> Tensor:
    """Probability of each mask, [...]."""
    return torch.where(masks == 1, probabilities, 1 - probabilities).prod(dim=-1)


def true_gradient() -> Tensor:
    """Of the expected loss, by autograd through its sum over all masks."""
    probabilities = PROBABILITIES.clone().requires_grad_()
    (chance(MASKS, probabilities) * LOSSES).sum().backward()
    return probabilities.grad


def over_all_samples(samples: int, estimate) -> tuple[Tensor, Tensor]:
    """Mean and variance of an estimate over all draws of so many masks."""
    draws = [list(draw) for draw in itertools.product(range(8), repeat=samples)]
    weights = torch.stack([chance(MASKS[draw]).prod() for draw in draws])
    found = torch.stack([estimate(MASKS[draw], LOSSES[draw]) for draw in draws])
    mean = weights @ found
    return mean, weights @ (found - mean) ** 2


@pytest.mark.parametrize("samples", [2, 3])
def test_the_estimate_is_unbiased_over_all_masks(samples: int) -> None:
    mean, _ = over_all_samples(samples, lambda m, loss: policy_gradient(PROBABILITIES, m, loss))
    torch.testing.assert_close(mean, true_gradient(), rtol=0, atol=1e-14)


def test_the_official_form_is_the_gradient_times_the_standard_deviation_of_each_mask() -> None:
    mean, _ = over_all_samples(
        2, lambda m, loss: policy_gradient(PROBABILITIES, m, loss, preconditioner="sqrt")
    )
    deviation = (PROBABILITIES * (1 - PROBABILITIES)).sqrt()
    torch.testing.assert_close(mean, true_gradient() * deviation, rtol=0, atol=1e-14)


def test_its_variance_is_below_that_of_plain_reinforce() -> None:
    def reinforce(masks: Tensor, losses: Tensor) -> Tensor:
        scores = (masks - PROBABILITIES) / (PROBABILITIES * (1 - PROBABILITIES))
        return losses @ scores / 2

    mean, plain = over_all_samples(2, reinforce)
    torch.testing.assert_close(mean, true_gradient(), rtol=0, atol=1e-14)
    _, reduced = over_all_samples(2, lambda m, loss: policy_gradient(PROBABILITIES, m, loss))
    assert (reduced < 0.2 * plain).all()


@pytest.mark.parametrize("form", ["none", "sqrt"])
def test_a_certain_channel_has_no_gradient(form: str) -> None:
    masks = torch.tensor([[0, 1, 1], [0, 1, 0]])
    certain = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    found = policy_gradient(certain, masks, torch.tensor([1.0, 2.0]).double(), form)
    assert found[:2].tolist() == [0, 0]
    # The losses are half below and half above their mean: -0.5 · 2 + 0.5 · (-2), or times 0.5.
    assert found[2].item() == pytest.approx({"none": -2.0, "sqrt": -1.0}[form])


def test_a_loss_that_is_not_finite_raises() -> None:
    losses = torch.tensor([1.0, torch.nan], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="losses"):
        policy_gradient(PROBABILITIES, MASKS[:2], losses)


POINTS = st.lists(st.floats(-2, 3), min_size=1, max_size=12)


@given(POINTS, st.floats(0, 1))
def test_a_projection_meets_the_conditions_of_the_nearest_point(point: list, share: float) -> None:
    before = torch.tensor(point, dtype=torch.float64)
    budget = share * len(point)
    after = project(before, budget)
    assert ((after >= 0) & (after <= 1)).all()
    assert after.sum() <= budget + 1e-9
    # Within the bounds, all are moved by one multiplier, which is 0 unless the budget is met; what
    # is at a bound would have to leave it.
    moved = before - after
    inner = (after > 0) & (after < 1)
    clamped = before.clamp(0, 1)
    multiplier = moved[inner].max().item() if inner.any() else None
    if clamped.sum() <= budget:
        assert torch.equal(after, clamped)
    else:
        assert after.sum().item() == pytest.approx(budget, abs=1e-6)
        if multiplier is not None:
            assert multiplier >= 0
            assert (moved[inner] - multiplier).abs().max() < 1e-9
            assert (moved[after == 0] <= multiplier + 1e-9).all()
            assert (moved[after == 1] >= multiplier - 1e-9).all()
    torch.testing.assert_close(project(after, budget), after, rtol=0, atol=1e-9)
