from __future__ import annotations

import torch
from torch import nn

from agc.sparsity.unprunable import nothing_to_prune


def test_what_the_network_has_is_named_and_what_could_be_pruned() -> None:
    model = nn.ModuleDict({"words": nn.Embedding(5, 2), "norm": nn.LayerNorm(2)})
    assert str(nothing_to_prune(model)) == (
        "the network has no convolution, linear, attention or recurrent layer to prune; "
        "it has Embedding 'words': also_prune takes words.weight; "
        "without pruning, dense can train it"
    )


def test_a_long_list_is_cut() -> None:
    message = str(nothing_to_prune(nn.ParameterList([torch.zeros(2, 2) for _ in range(7)])))
    assert "it has ParameterList: also_prune takes 0, 1, 2, 3, 4 and 2 more;" in message


def test_without_any_matrix_there_is_nothing_to_name() -> None:
    assert "nor another of two dimensions" in str(nothing_to_prune(nn.LayerNorm(3)))
