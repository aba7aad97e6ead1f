"""Grids and rounding, against torch's own fake quantisation and by counting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agc.quantization.shared.affine import (
    at_chance,
    extremes,
    grid_between,
    grid_with_zero,
    levels_of,
    nearest,
    symmetric_grid,
)

BITS = [2, 3, 4, 8]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", BITS)
def test_a_tensor_is_rounded_as_torch_does(bits: int) -> None:
    values = drawn(1000)
    grid = grid_with_zero(*extremes(values), levels_of(bits))
    theirs = torch.fake_quantize_per_tensor_affine(
        values, grid.step, grid.offset.int(), 0, levels_of(bits)
    )
    torch.testing.assert_close(nearest(values, grid), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
def test_each_output_of_a_weight_is_rounded_as_torch_does(bits: int) -> None:
    values = drawn(6, 4, 3, 3) * torch.arange(1.0, 7).view(6, 1, 1, 1)
    grid = grid_with_zero(*extremes(values, 0), levels_of(bits))
    assert grid.step.shape == (6, 1, 1, 1)
    theirs = torch.fake_quantize_per_channel_affine(
        values, grid.step.flatten(), grid.offset.flatten().int(), 0, 0, levels_of(bits)
    )
    torch.testing.assert_close(nearest(values, grid), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
def test_the_error_is_half_a_step_at_most_and_what_is_on_the_grid_stays(bits: int) -> None:
    values = drawn(1000)
    for kind in (grid_with_zero, grid_between):
        grid = kind(*extremes(values), levels_of(bits))
        rounded = nearest(values, grid)
        assert (rounded - values).abs().max() <= grid.step / 2 * (1 + 1e-5)
        assert torch.equal(nearest(rounded, grid), rounded)
        assert len(rounded.unique()) <= 2**bits


@given(low=st.floats(-1e3, 1e3, width=32), span=st.floats(0, 1e3, width=32))
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_zero_is_a_point_of_the_grid(bits: int, low: float, span: float) -> None:
    ends = torch.tensor(low), torch.tensor(low) + span
    grid = grid_with_zero(*ends, levels_of(bits))
    assert nearest(torch.zeros(3), grid).tolist() == [0.0, 0.0, 0.0]


def test_zero_is_no_point_of_a_grid_between_extremes() -> None:
    values = torch.tensor([-0.4, 0.0, 1.0])
    assert nearest(values, grid_between(*extremes(values), levels_of(2)))[1] != 0


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", ["between", "symmetric"])
def test_rounding_at_chance_has_the_number_as_its_mean(kind: str, bits: int) -> None:
    values = drawn(200)
    grid = grid_between(*extremes(values), levels_of(bits))
    if kind == "symmetric":
        grid = symmetric_grid(values.abs().max(), bits)
    draws, count = torch.Generator().manual_seed(0), 4000
    found = torch.stack([at_chance(values, grid, draws) for _ in range(count)]).double()
    places = values / grid.step + grid.offset
    share = places - places.floor()
    spread = grid.step * (share * (1 - share)).sqrt()
    error = (found.mean(0) - values).abs()
    assert (error <= 5 * spread / count**0.5 + 1e-6).all()
    assert ((found - values).abs() <= grid.step * (1 + 1e-5)).all(), "not a neighbour"


def test_what_lies_on_a_point_stays_there_at_chance() -> None:
    draws = torch.Generator().manual_seed(0)
    grid = symmetric_grid(torch.tensor(3.0), 3)
    values = torch.arange(-3.0, 4).repeat(20_000)
    assert torch.equal(at_chance(values, grid, draws), values)


def test_rows_may_have_bits_of_their_own() -> None:
    values, bits = drawn(4, 50), [3, 8, 4, 4]
    levels = torch.tensor([float(levels_of(b)) for b in bits]).view(4, 1)
    rounded = nearest(values, grid_with_zero(*extremes(values), levels))
    for row, own in enumerate(bits):
        grid = grid_with_zero(*extremes(values), levels_of(own))
        assert torch.equal(rounded[row], nearest(values[row], grid))


def test_numbers_that_are_all_the_same_are_no_trouble() -> None:
    for value in (0.0, 3.0, -1e-30):
        values = torch.full((5,), value)
        rounded = nearest(values, grid_with_zero(*extremes(values), levels_of(4)))
        torch.testing.assert_close(rounded, values)
