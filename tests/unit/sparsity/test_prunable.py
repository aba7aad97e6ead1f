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


def test_attention_and_recurrent_layers_are_linear_maps() -> None:
    model = nn.ModuleDict(
        {
            "packed": nn.MultiheadAttention(4, 2),
            "apart": nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
            "lstm": nn.LSTM(4, 6, proj_size=2, bidirectional=True),
            "cell": nn.GRUCell(4, 4),
        }
    )
    projections = [f"{kind}_proj_weight" for kind in "qkv"]
    assert list(choose_prunable(model)) == [
        *("packed.in_proj_weight", "packed.out_proj.weight"),
        *(f"apart.{name}" for name in (*projections, "out_proj.weight")),
        *(f"lstm.weight_{kind}_l0" for kind in ("ih", "hh", "hr")),
        *(f"lstm.weight_{kind}_l0_reverse" for kind in ("ih", "hh", "hr")),
        *("cell.weight_ih", "cell.weight_hh"),
    ]
    dense = choose_prunable(model, keep_dense=("*.in_proj_weight", "lstm.*"))
    assert "packed.in_proj_weight" not in dense
    assert not any(name.startswith("lstm") for name in dense)


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
