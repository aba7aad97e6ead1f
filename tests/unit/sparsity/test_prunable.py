from __future__ import annotations

import pytest
from torch import nn

from agc.errors import UserError
from agc.sparsity.masks import prunable_parameters
from agc.sparsity.prunable import choose_prunable


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.stem = nn.Conv1d(4, 6, 3)
        self.norm = nn.BatchNorm1d(6)
        self.mix = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6, bias=False)])
        self.head = nn.Linear(6, 2)


ALL = ["stem.weight", "mix.0.weight", "mix.1.weight", "head.weight"]


def test_without_patterns_it_is_the_rule_by_module_type() -> None:
    model = Network()
    assert choose_prunable(model) == prunable_parameters(model)
    assert list(choose_prunable(model)) == ALL


@pytest.mark.parametrize(
    ("keep_dense", "also_prune", "expected"),
    [
        (["@first"], [], ALL[1:]),
        (["@last"], [], ALL[:3]),
        (["@first", "@last"], [], ALL[1:3]),
        (["mix.*"], [], [ALL[0], ALL[3]]),
        (["mix.[0]*"], [], [ALL[0], *ALL[2:]]),
        ([], ["embed*"], ["embedding.weight", *ALL]),
        (["@first", "mix.?.weight"], ["embedding.weight"], ["embedding.weight", ALL[3]]),
    ],
)
def test_patterns_keep_layers_dense_and_add_others(keep_dense, also_prune, expected) -> None:
    model = Network()
    chosen = choose_prunable(model, keep_dense, also_prune)
    assert list(chosen) == expected
    parameters = dict(model.named_parameters())
    assert all(chosen[name] is parameters[name] for name in expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep_dense": ["haed.weight"]}, "unknown prunable weight 'haed.weight'; did you mean"),
        ({"keep_dense": ["embedding.weight"]}, "unknown prunable weight 'embedding.weight'"),
        ({"also_prune": ["norm.weight"]}, "unknown other weight 'norm.weight'"),
        ({"also_prune": ["head.weight"]}, "unknown other weight 'head.weight'"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(arguments, message) -> None:
    with pytest.raises(UserError) as caught:
        choose_prunable(Network(), **arguments)
    assert message in str(caught.value)
