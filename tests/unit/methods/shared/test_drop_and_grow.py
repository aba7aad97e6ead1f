from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from agc import SET, Dense, RigL, Static, rng


def learn(method_class: type, gradients: list[Tensor], **options: object) -> list[Tensor]:
    """Masks after each step of a 4×4 layer that gets these gradients."""
    layer = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    method = method_class(layer, optimizer, **options)
    masks = [method.masks["weight"].clone()]
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        method.observe()
        optimizer.step()
        method.advance()
        masks.append(method.masks["weight"].clone())
    masks.append(torch.tensor(method.exploration_rate()))
    return masks


@pytest.mark.parametrize("method_class", [SET, RigL])
def test_the_exploration_rate_counts_each_weight_that_was_ever_active(method_class) -> None:
    generator = rng.generator(0, "gradients")
    gradients = [torch.randn(4, 4, generator=generator) for _ in range(6)]
    options = {"sparsity": 0.75, "total_steps": 100, "update_interval": 2, "drop_fraction": 0.5}
    *masks, rate = learn(method_class, gradients, **options)
    ever = {place for mask in masks for place in range(16) if mask.reshape(-1)[place]}
    assert len(ever) > 4
    assert rate.item() == pytest.approx(len(ever) / 16)
    # Steps 2, 4 and 6 replace up to two of four weights; the others change nothing.
    changed = [int((new & ~old).sum()) for old, new in pairwise(masks)]
    assert changed[0] == changed[2] == changed[4] == 0
    assert max(changed) <= 2


def test_the_controls_explore_what_they_start_with() -> None:
    gradients = [torch.ones(4, 4)] * 3
    assert learn(Static, gradients, sparsity=0.75)[-1] == 0.25
    assert learn(Dense, gradients)[-1] == 1.0


def test_rigl_grows_where_the_raw_gradient_is_largest() -> None:
    layer = nn.Linear(4, 4, bias=False)
    method = RigL(layer, None, sparsity=0.75, total_steps=100, update_interval=1, drop_fraction=0.5)
    vacant = (~method.masks["weight"]).nonzero()
    row, column = vacant[5].tolist()
    layer.weight.grad = torch.zeros(4, 4)
    layer.weight.grad[row, column] = -1.0
    method.observe()
    layer.weight.grad.zero_()  # what a correction does to the gradient is not seen
    smallest = layer.weight.abs().masked_fill(~method.masks["weight"], math.inf).argmin()
    assert method.advance()
    assert method.masks["weight"][row, column]
    assert not method.masks["weight"].reshape(-1)[smallest]
    assert layer.weight[row, column] == 0


def test_no_update_comes_at_or_after_the_end_fraction() -> None:
    gradients = [torch.randn(4, 4, generator=rng.generator(i, "g")) for i in range(20)]
    options = {"sparsity": 0.5, "total_steps": 20, "update_interval": 3, "end_fraction": 0.6}
    *masks, _ = learn(RigL, gradients, drop_schedule="constant", drop_fraction=0.5, **options)
    steps = [
        step
        for step, (old, new) in enumerate(pairwise(masks), start=1)
        if not torch.equal(old, new)
    ]
    # Multiples of 3 below 12 = 0.6 · 20.
    assert steps
    assert set(steps) <= {3, 6, 9}


def test_the_number_of_replaced_weights_follows_the_schedule() -> None:
    layer = nn.Linear(40, 10, bias=False)
    method = RigL(
        layer,
        None,
        sparsity=0.5,
        total_steps=8,
        update_interval=2,
        drop_fraction=0.4,
        end_fraction=1.0,
    )
    found = []
    for _ in range(8):
        before = method.masks["weight"].clone()
        # The gradient wants none of the active weights back.
        layer.weight.grad = torch.where(before, 0.0, 1.0)
        with torch.no_grad():
            layer.weight.add_(before.float())
        method.observe()
        method.advance()
        found.append(int((before & ~method.masks["weight"]).sum()))
    # 200 active weights: 0.2 (1 + cos(π t / 8)) at t = 2, 4, 6, rounded down; none at the end.
    assert found == [0, 68, 0, 40, 0, 11, 0, 0]
