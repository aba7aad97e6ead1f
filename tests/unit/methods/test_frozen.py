"""Layers that are frozen before a method is made: the sparsity is reached, or it says why not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agc.methods.base import SparseMethod
from agc.methods.gmp import GMP
from agc.methods.granet import GraNet
from agc.methods.lottery import Lottery
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.training.step import Step

PRUNE_WHAT_TRAINS = [GMP, GraNet, Lottery]


def network(*frozen: int) -> nn.Sequential:
    """Layers of 400, 400 and 200 weights, some of them frozen."""
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20), nn.Linear(20, 10))
    for layer in frozen:
        model[layer].requires_grad_(False)
    return model


def made(kind: type[SparseMethod], model: nn.Module, **options: object) -> SparseMethod:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return kind(model, optimizer, **{"sparsity": 0.75, "total_steps": 20, **options})


@pytest.mark.parametrize("kind", PRUNE_WHAT_TRAINS)
def test_a_sparsity_out_of_reach_is_refused_and_says_what_would_work(kind) -> None:
    message = r"would end at .*, and 0\.75 was asked for: let '0\.weight', '1\.weight' train"
    with pytest.raises(InfeasibleSparsityError, match=message):
        made(kind, network(0, 1))
    assert made(kind, network()).parameters.keys() == {"0.weight", "1.weight", "2.weight"}
    kept = made(kind, network(0, 1), keep_dense=("0.weight", "1.weight"))
    assert kept.parameters.keys() == {"2.weight"}


def test_it_says_where_the_sparsity_would_end() -> None:
    # 400 frozen weights and a quarter of 600: 550 of 1,000; ranked together, one in each layer.
    with pytest.raises(InfeasibleSparsityError, match=r"end at 0\.45,"):
        made(GMP, network(0))
    with pytest.raises(InfeasibleSparsityError, match=r"end at 0\.598,"):
        made(Lottery, network(0))
    with pytest.raises(InfeasibleSparsityError, match=r"let '0\.weight', '1\.weight' train"):
        made(Lottery, network(0, 1))


@pytest.mark.parametrize("kind", PRUNE_WHAT_TRAINS)
def test_a_layer_that_is_frozen_afterwards_is_refused_before_the_first_step(kind) -> None:
    model = network()
    method = made(kind, model)
    model[:2].requires_grad_(False)
    with pytest.raises(InfeasibleSparsityError, match=r"let '0\.weight', '1\.weight' train"):
        method.begin([], None)


@pytest.mark.parametrize("kind", [Lottery, GraNet])
def test_what_the_other_layers_can_make_up_for_is_no_fault(kind) -> None:
    # 200 frozen weights of 250 that are kept.
    model = network(2)
    method = (
        made(kind, model, distribution="global", update_interval=2)
        if kind is GraNet
        else (made(kind, model))
    )
    batches = [(torch.randn(8, 20), torch.randint(10, (8,))) for _ in range(20)]
    loss = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    step = Step(model, method.optimizer, loss, method)
    step.begin(batches)
    for batch in batches:
        step(batch)
    assert sum(method.active().values()) == 250
