from __future__ import annotations

import torch

from agc.communication.shared.active import ActiveCoordinates

MASK = torch.tensor([[True, False], [False, True]])


def test_what_is_taken_apart_is_put_together_again() -> None:
    active, weight = ActiveCoordinates({"w": MASK}), torch.arange(1.0, 5.0).reshape(2, 2)
    numbers = active.of("w", weight)
    assert numbers.tolist() == [1.0, 4.0]
    assert torch.equal(active.back("w", numbers, weight), weight * MASK)
    assert active.size("w", weight) == 2


def test_what_has_no_mask_is_whole_and_layouts_stay() -> None:
    active, weight = ActiveCoordinates({}), torch.randn(2, 3, 4, 4)
    last = weight.to(memory_format=torch.channels_last)
    whole = active.back("w", active.of("w", last), last)
    assert torch.equal(whole, weight)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert active.size("w", last) == weight.numel()


def test_a_layer_without_an_active_weight_sends_nothing() -> None:
    active = ActiveCoordinates({"w": MASK & False})
    assert len(active.of("w", torch.ones(2, 2))) == 0
    assert not active.back("w", torch.ones(0), torch.ones(2, 2)).any()
