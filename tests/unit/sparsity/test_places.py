"""Active places are those of ``nonzero``, however a mask lies in memory."""

from __future__ import annotations

import torch

from agc.sparsity.places import active_places


def test_places_of_a_mask_are_those_of_nonzero_in_their_order() -> None:
    draws = torch.Generator().manual_seed(0)
    tensors = {
        "conv": torch.rand(8, 4, 3, 3, generator=draws).to(memory_format=torch.channels_last),
        "linear": torch.rand(5, 7, generator=draws),
        "bias": torch.rand(5, generator=draws),
        "none": torch.rand(3, generator=draws),
    }
    masks = {name: tensors[name] > 0.5 for name in ("conv", "linear")}
    masks["none"] = torch.zeros(3, dtype=torch.bool)
    found = active_places(tensors, masks)
    assert list(found) == list(tensors)
    for name, mask in masks.items():
        assert torch.equal(found[name], mask.reshape(-1).nonzero().flatten())
    assert torch.equal(found["bias"], torch.arange(5))


def test_no_tensor_has_no_place() -> None:
    assert active_places({}, {}) == {}
