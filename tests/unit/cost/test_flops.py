from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc.cost.flops import LayerFlops, layer_flops

# Two for each multiply-add: output places × output channels × weights of one.
DENSE = {
    "first.weight": 2 * (8 * 8) * 4 * (3 * 9),
    "second.weight": 2 * (4 * 4) * 6 * (4 * 9),
    "head.weight": 2 * 10 * 96,
}
SIZES = {"first.weight": 108, "second.weight": 216, "head.weight": 960}


def test_dense_flops_are_those_counted_by_hand(counted: tuple[LayerFlops, Any]) -> None:
    flops, _ = counted
    assert flops.layers == DENSE
    assert flops.sizes == SIZES
    assert flops.rest == 0
    assert flops.forward() == 13_824 + 6_912 + 1_920


def test_sparse_flops_are_weighted_with_the_active_weights(counted: tuple) -> None:
    flops, active = counted
    # A tenth of 108, 216 and 960: 10.8, 21.6 and 96, in all 128.4, so 128 are kept.
    assert active == {"first.weight": 11, "second.weight": 21, "head.weight": 96}
    expected = 13_824 * 11 / 108 + 6_912 * 21 / 216 + 1_920 * 96 / 960
    assert flops.forward(active) == pytest.approx(expected, rel=1e-12)


def test_what_no_prunable_weight_does_is_counted_beside_them() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(4, 4, bias=False)

        def forward(self, tokens: Tensor) -> Tensor:
            tokens = self.project(tokens)
            return tokens @ tokens.transpose(1, 2)

    model = Attention()
    parameters = {"project.weight": model.project.weight}
    flops = layer_flops(model, torch.zeros(1, 5, 4), parameters)
    assert flops.layers == {"project.weight": 2 * 5 * 4 * 4}
    assert flops.rest == 2 * 5 * 5 * 4
    assert flops.forward({"project.weight": 4}) == 160 / 4 + 200


def test_counting_flops_leaves_modes_and_running_statistics(three_layers: nn.Module) -> None:
    model = three_layers
    model.norm.eval()
    before = [buffer.clone() for buffer in model.buffers()]
    layer_flops(model, torch.zeros(1, 3, 8, 8), {})
    assert model.training
    assert not model.norm.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))


def test_a_parameter_may_be_the_argument_of_a_module() -> None:
    # As the class token is in timm's CaiT and PiT.
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(3, 4))
            self.first = nn.Linear(4, 5, bias=False)
            self.second = nn.Linear(4, 5, bias=False).requires_grad_(False)

        def forward(self, features: Tensor) -> Tensor:
            return self.first(self.token) + self.second(features)

    model = Token()
    weights = {"first.weight": model.first.weight, "second.weight": model.second.weight}
    flops = layer_flops(model, torch.zeros(1, 4), weights)
    assert flops.layers == {"first.weight": 2 * 3 * 4 * 5, "second.weight": 2 * 4 * 5}
    asking = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert asking == {"token": True, "first.weight": True, "second.weight": False}
