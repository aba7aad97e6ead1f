"""What the first masks took comes back where nobody has written since, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from agc.sparsity.masks import apply_masks
from agc.sparsity.unmasked import Unmasked

MASKS = {"weight": torch.tensor([[1, 0, 1], [0, 1, 0]]).bool()}


def masked(dense: bool = False) -> tuple[nn.Linear, torch.optim.Optimizer, Unmasked]:
    """A layer of ones to six with momentum of ones, masked."""
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 7.0).reshape(2, 3))
    optimizer.state[layer.weight]["momentum_buffer"] = torch.ones(2, 3)
    masks = {"weight": torch.ones(2, 3, dtype=torch.bool)} if dense else MASKS
    unmasked = Unmasked({"weight": layer.weight}, masks, optimizer)
    apply_masks({"weight": layer.weight}, masks, optimizer)
    unmasked.masked()
    return layer, optimizer, unmasked


def test_weights_and_momentum_come_back() -> None:
    layer, optimizer, unmasked = masked()
    assert layer.weight.count_nonzero() == 3
    assert [one.slot for one in unmasked.put_back()] == [None, "momentum_buffer"]
    assert layer.weight.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert optimizer.state[layer.weight]["momentum_buffer"].tolist() == [[1] * 3] * 2


def in_place(weight: Tensor) -> None:
    with torch.no_grad():
        weight.copy_(torch.full((2, 3), 7.0))


def by_data(weight: Tensor) -> None:
    weight.data.copy_(torch.full((2, 3), 7.0))


def by_other_data(weight: Tensor) -> None:
    weight.data = torch.full((2, 3), 7.0)


def the_same_again(weight: Tensor) -> None:
    with torch.no_grad():
        weight.copy_(weight.clone())


@pytest.mark.parametrize("write", [in_place, by_data, by_other_data, the_same_again])
def test_what_was_written_since_stays(write: Callable[[Tensor], None]) -> None:
    layer, _, unmasked = masked()
    write(layer.weight)
    expected = layer.weight.clone()
    assert [one.slot for one in unmasked.put_back()] == ["momentum_buffer"]
    assert torch.equal(layer.weight, expected)


def test_momentum_that_was_loaded_since_stays() -> None:
    layer, optimizer, unmasked = masked()
    state = optimizer.state_dict()
    state["state"][0]["momentum_buffer"] = torch.full((2, 3), 7.0)
    optimizer.load_state_dict(state)
    assert [one.slot for one in unmasked.put_back()] == [None]
    assert optimizer.state[layer.weight]["momentum_buffer"].tolist() == [[7] * 3] * 2


def test_what_is_dense_is_not_copied() -> None:
    assert masked(dense=True)[2].kept == []
