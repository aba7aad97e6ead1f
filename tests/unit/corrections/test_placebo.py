from __future__ import annotations

import pytest
import torch
from torch import nn

from agc import rng
from agc.corrections.placebo import Placebo


def corrected(strength: float, steps: int = 1, seed: int = 0) -> torch.Tensor:
    model = nn.Linear(1000, 100, bias=False)
    placebo = Placebo(model, strength=strength, seed=seed)
    for _ in range(steps):
        model.weight.grad = torch.full((100, 1000), 3.0)
        placebo.correct(None, lambda model, batch: None)
    return model.weight.grad


def test_the_noise_is_relative_has_mean_zero_and_its_strength() -> None:
    relative = corrected(0.01).double() / 3 - 1
    # 1e5 draws: the mean is within 5 standard errors of 0, the spread within 5 of its own.
    assert abs(relative.mean().item()) < 5 * 0.01 / 1e5**0.5
    assert relative.std().item() == pytest.approx(0.01, rel=5 / (2e5) ** 0.5)
    assert torch.equal(corrected(0.0), torch.full((100, 1000), 3.0))


def test_at_its_default_it_is_a_unit_in_the_last_place_or_two() -> None:
    gradient = corrected(1e-7)
    half_a_place = 2**-23  # of float32 numbers between 2 and 4
    assert 0 < (gradient - 3).abs().max().item() < 6 * 3e-7 + half_a_place
    assert not torch.equal(gradient, torch.full_like(gradient, 3.0))


def test_each_step_and_each_seed_draws_anew_and_a_repeated_one_does_not() -> None:
    first = corrected(0.1)
    assert torch.equal(first, corrected(0.1))
    assert not torch.equal(first, corrected(0.1, steps=2))
    assert not torch.equal(first, corrected(0.1, seed=1))
    model = nn.Linear(2, 2)
    placebo = Placebo(model, strength=0.1)
    found = []
    for repeated in (False, True):
        placebo.repeated = repeated
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        placebo.correct(None, lambda model, batch: None)
        found.append(model.weight.grad.clone())
    assert torch.equal(*found)


def test_a_parameter_without_gradient_keeps_none_and_no_global_stream_moves() -> None:
    model = nn.Linear(2, 2)
    model.weight.grad = torch.ones(2, 2)
    before = torch.get_rng_state()
    Placebo(model).correct(None, lambda model, batch: None)
    assert model.bias.grad is None
    assert torch.equal(torch.get_rng_state(), before)
    noise = rng.generator(0, "placebo", step=1)
    expected = 1 + 1e-7 * torch.randn(2, 2, generator=noise)
    assert torch.allclose(model.weight.grad, expected, rtol=0, atol=2**-22)
