from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from agc import rng
from agc.sparsity.masks import apply_masks, prunable_parameters, random_mask


@given(st.integers(1, 200), st.data())
def test_random_masks_have_the_exact_count(size: int, data: st.DataObject) -> None:
    active = data.draw(st.integers(0, size))
    mask = random_mask((size,), active, rng.generator(active, "mask"))
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == active


def test_random_masks_are_spread_evenly() -> None:
    generator = rng.generator(0, "mask")
    hits = sum(random_mask((4, 5), 5, generator).float() for _ in range(4000)) / 4000
    # Standard error √(¼ · ¾ / 4000) = 0.0068; five of them.
    assert (hits - 0.25).abs().max() < 0.035


def test_weights_of_convolutions_and_linear_layers_are_prunable_shared_ones_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 4)
            self.conv = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

    model = Tied()
    found = prunable_parameters(model)
    assert list(found) == ["conv.0.weight", "first.weight"]
    assert found["first.weight"] is model.second.weight
    assert list(prunable_parameters(nn.Linear(2, 3))) == ["weight"]


def test_masks_are_applied_in_place_in_any_memory_format() -> None:
    conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    view, address = conv.weight.view_as(conv.weight), conv.weight.data_ptr()
    mask = random_mask(conv.weight.shape, 20, rng.generator(0, "mask"))
    expected = conv.weight.detach() * mask
    apply_masks({"weight": conv.weight}, {"weight": mask})
    assert conv.weight.data_ptr() == address
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(view, expected)
