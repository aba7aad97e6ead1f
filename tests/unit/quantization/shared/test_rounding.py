"""Rounding in a graph: what goes forward, what comes back, and that it comes back again."""

from __future__ import annotations

import torch

from agc import rng
from agc.quantization.shared.affine import extremes, grid_with_zero, levels_of, nearest
from agc.quantization.shared.rounding import rounding_errors, to_grid


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_the_gradient_goes_straight_through_to_numbers_beyond_the_ends_too() -> None:
    values = drawn(40).requires_grad_()
    grid = grid_with_zero(torch.tensor(-0.5), torch.tensor(0.5), levels_of(3))
    rounded = to_grid(values, grid)
    assert torch.equal(rounded, nearest(values.detach(), grid))
    weights = drawn(40)
    rounded.backward(weights)
    assert torch.equal(values.grad, weights)


def errors(seed: int, bits: int = 4) -> torch.Tensor:
    values = drawn(300).requires_grad_()
    outputs = rounding_errors(values, levels_of(bits), seed)
    assert torch.equal(outputs, values)
    outputs.backward(drawn(300))
    return values.grad


def test_errors_lie_on_a_grid_over_their_extremes() -> None:
    found, raw = errors(3), drawn(300)
    low, high = extremes(raw)
    places = (found - low) / ((high - low) / levels_of(4))
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-4)
    assert (found - raw).abs().max() <= (high - low) / levels_of(4)
    assert found.min() >= low - 1e-6
    assert found.max() <= high + 1e-6


def test_a_seed_is_replayed_and_another_one_rounds_otherwise() -> None:
    before = rng.streams()
    assert torch.equal(errors(3), errors(3))
    assert not torch.equal(errors(3), errors(4))
    assert rng.same(rng.streams(), before)


def test_a_second_derivative_goes_straight_through() -> None:
    values = drawn(10).requires_grad_()
    loss = rounding_errors(values**3, levels_of(8), 0).sum()
    (first,) = torch.autograd.grad(loss, values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), values)
    torch.testing.assert_close(second, 6 * values.detach(), rtol=1e-5, atol=1e-5)
