from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import Static
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


class Elsewhere(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.layer.weight)


class Tied(nn.Module):
    """One weight in two layers, and in one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.second(self.first(inputs)))


def test_a_weight_that_another_module_uses_counts() -> None:
    model = Elsewhere()
    flops = layer_flops(model, torch.zeros(1, 4), {"layer": model.layer.weight})
    assert (flops.layers, flops.rest) == ({"layer": 48}, 0)


def test_each_use_of_a_shared_weight_counts() -> None:
    method = Static(Tied(), sparsity=0.5)
    flops = layer_flops(method.model, torch.zeros(1, 4), method.parameters)
    assert (flops.layers, flops.rest) == ({"first.weight": 3 * 32}, 0)
    assert flops.forward(method.active()) == 3 * 32 / 2


@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_layer_counts_whatever_its_mode(training: bool) -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train(training)
    method = Static(model, sparsity=0.5)
    flops = layer_flops(model, torch.zeros(1, 5, 8), method.parameters)
    assert flops.layers == {
        "self_attn.in_proj_weight": 2 * 5 * 8 * 24,
        "self_attn.out_proj.weight": 2 * 5 * 8 * 8,
        "linear1.weight": 2 * 5 * 8 * 16,
        "linear2.weight": 2 * 5 * 16 * 8,
    }
    assert flops.rest == 2 * (2 * 5 * 5 * 8)  # queries by keys, and those by values
    assert model.training is training


def test_a_recurrent_layer_counts_at_every_step() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(3, 5, batch_first=True)

        def forward(self, sequence: Tensor) -> Tensor:
            return self.cells(sequence)[0][:, -1]

    method = Static(Last(), sparsity=0.5)
    flops = layer_flops(method.model, torch.zeros(1, 7, 3), method.parameters)
    assert flops.layers == {
        "cells.weight_ih_l0": 2 * 7 * 20 * 3,
        "cells.weight_hh_l0": 2 * 7 * 20 * 5,
    }
    assert flops.rest == 0


def test_an_embedding_that_is_pruned_and_the_last_layer_count_once() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(12, 4)
            self.head = nn.Linear(4, 12, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.embedding(tokens))

    method = Static(Language(), sparsity=0.5)
    flops = layer_flops(method.model, torch.zeros(1, 7, dtype=torch.int64), method.parameters)
    # To look a row up is no product.
    assert flops.layers == {"embedding.weight": 2 * 7 * 4 * 12}


def test_a_network_whose_tokens_are_parameters_is_counted() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 4))
            self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            query = self.query(self.token.expand(len(tokens), -1, -1))
            return query @ self.key(tokens).transpose(1, 2)

    model = Pooled()
    method = Static(model, sparsity=0.5)
    flops = layer_flops(model, torch.zeros(1, 5, 4), method.parameters)
    assert flops.layers == {"query.weight": 2 * 16, "key.weight": 2 * 5 * 16}
    assert flops.rest == 2 * 5 * 4


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
