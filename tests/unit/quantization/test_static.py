"""Fixed bits: rounded weight gradients, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agc import RigL, Step
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.quantization.static import StaticBits

FIELDS = {"dataset": "digits", "architecture": "resnet8"}
LR = 0.5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loss_fn(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).square().mean()


def moved(bits: int, seed: int = 0, steps: int = 1) -> tuple[Tensor, Tensor]:
    """By how much a sparse layer moves in its last step, and its mask."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20))
    quantization = StaticBits(
        model, forward=32, backward=32, weight_gradients=bits, keep_float=(), seed=seed
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    sparse = RigL(model, optimizer, sparsity=0.5, total_steps=100)
    step = Step(model, optimizer, loss_fn, sparse, None, quantization)
    for number in range(steps):
        before = model[0].weight.detach().clone()
        step(drawn(8, 12, seed=number))
    return model[0].weight.detach() - before, sparse.masks["0.weight"]


def test_weight_gradients_lie_on_a_grid_over_the_active_ones() -> None:
    plain, mask = moved(32)
    rounded, _ = moved(3)
    step = plain.abs().max() / 3
    places = rounded / step
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-3)
    assert (rounded - plain).abs().max() <= step * 1.001
    assert not rounded[~mask].any()
    assert (rounded != plain)[mask].any()


def test_their_draws_are_those_of_seed_and_step() -> None:
    assert torch.equal(moved(3)[0], moved(3)[0])
    assert not torch.equal(moved(3)[0], moved(3, seed=1)[0])
    one, two = (moved(3, steps=steps)[0] for steps in (1, 2))
    assert not torch.equal(one, two)


def test_a_bit_number_that_no_grid_has_is_refused() -> None:
    with pytest.raises(UserError, match="option forward = 1: Input should be 2, 3"):
        make_cell({**FIELDS, "quantization": {"name": "static", "options": {"forward": 1}}})


def test_half_precision_is_refused() -> None:
    with pytest.raises(UserError, match=r"quantization 'static': .* training.precision 'bfloat16'"):
        make_cell({**FIELDS, "quantization": "static", "training": {"precision": "bfloat16"}})


def test_a_cell_without_quantization_is_the_cell_that_it_was() -> None:
    plain = make_cell(FIELDS)
    assert make_cell({**FIELDS, "quantization": "none"}).slug == plain.slug
    assert "quantization" not in plain.model_dump(mode="json")
    assert ".static." in make_cell({**FIELDS, "quantization": "static"}).slug
