from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from agc import Step
from agc.conformance.method_problem import Problem
from agc.errors import UserError
from agc.evaluation.topology import TopologyWatch
from agc.grids.cell import Cell
from agc.methods.base import SparseMethod
from agc.registry import CORRECTIONS, METHODS
from agc.runs.measure import epoch_row
from agc.training.build import build
from agc.training.loop import train
from tests.support.late_networks import Lazy, Matrix, networks_are, with_such_a_network

SPARSE = [name for name in METHODS.names() if METHODS[name].target.sparse]
NAMED = [name for name in SPARSE if "also_prune" in METHODS.options(name).model_fields]


class Tokens(nn.Module):
    """An embedding and matrices of its own; the rule finds nothing to prune."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.head = nn.Parameter(torch.randn(4, 8))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens).mean(dim=1) @ self.head.T


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def sentences() -> list[tuple[Tensor, Tensor]]:
    return [(torch.randint(20, (9, 5)), torch.randint(4, (9,))) for _ in range(4)]


def made(name: str, model: nn.Module, **options: object) -> SparseMethod:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return METHODS.create(name, model, optimizer, options=options, sparsity=0.5, total_steps=8)


@pytest.mark.parametrize("name", SPARSE)
def test_a_network_without_a_prunable_layer_is_refused_when_the_method_is_made(name: str) -> None:
    with pytest.raises(UserError) as caught:
        made(name, Tokens())
    message = str(caught.value)
    assert "it has Tokens, Embedding 'embedding'" in message
    assert "also_prune takes head, embedding.weight" in message


@pytest.mark.parametrize("name", [name for name in NAMED if name != "synflow"])
def test_weights_that_are_named_make_such_a_network_sparse(name: str) -> None:
    model, batches = Tokens(), sentences()
    method = made(name, model, also_prune=("*",))
    step = Step(model, method.optimizer, loss_fn, method)
    for _ in range(2):
        step.begin_epoch(batches)
        for batch in batches:
            step(batch)
    step.end(batches)
    zeros = sum(int((p == 0).sum()) for p in model.parameters())
    assert zeros >= round((20 * 8 + 4 * 8) * method.target)
    assert method.sparsity() == pytest.approx(method.target)
    assert 1 - method.sparsity() - 1e-12 <= method.exploration_rate() <= 1


def test_dense_trains_a_network_without_a_prunable_layer() -> None:
    model, batches = Tokens(), sentences()
    method = made("dense", model)
    step = Step(model, method.optimizer, loss_fn, method)
    step.begin_epoch(batches)
    before = model.head.detach().clone()
    step(batches[0])
    assert not torch.equal(model.head, before)
    assert (method.sparsity(), method.exploration_rate()) == (0.0, 1.0)


def test_a_dense_cell_measures_a_network_without_a_prunable_layer(
    tiny_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks_are(Matrix, monkeypatch)
    run = build(with_such_a_network(tiny_cell, training={"epochs": 1}))
    list(train(run))
    row, layers = epoch_row(run, 1, 0.0, TopologyWatch(run.method))
    assert layers == []
    assert (row["sparsity"], row["exploration_rate"], row["mask_distance"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_lazy_layer_is_refused_by_its_name_until_it_has_seen_a_batch(name: str) -> None:
    model = Lazy(1, 4).eval()
    with pytest.raises(UserError, match=r"layer '0' \(LazyConv2d\) .* run one batch through"):
        made(name, model)
    model(torch.zeros(1, 1, 8, 8))
    if name not in ("n:m", "vr-pge", "small-dense"):  # which ask more of a network
        made(name, model)


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_corrections_wait_for_the_weights_of_a_lazy_layer(name: str) -> None:
    model = Lazy(1, 4)
    if name == "none":
        CORRECTIONS.create(name, model, options={}, seed=0, epochs=1)
        return
    with pytest.raises(UserError, match=r"layer '0' \(LazyConv2d\) .* run one batch through"):
        CORRECTIONS.create(name, model, options={}, seed=0, epochs=1)


@pytest.mark.parametrize("name", METHODS.names())
def test_what_the_first_masks_zeroed_is_gone_with_the_first_step(name: str) -> None:
    problem = Problem(name)
    assert "unmasked" not in problem.method.state_dict()
    copies = [weakref.ref(one.before) for one in problem.method.unmasked.kept]
    problem.begin()
    next(problem.steps())
    gc.collect()
    assert problem.method.unmasked is None
    assert not any(copy() is not None for copy in copies)


def test_masks_of_ones_own_before_the_first_step_find_the_initial_weights() -> None:
    dense = Problem("dense")
    problem = Problem("static")
    weights = {n: p.detach().clone() for n, p in dense.method.parameters.items()}
    for turn in range(2):
        masks = {
            name: (torch.arange(mask.numel()) % 3 == turn).reshape(mask.shape)
            for name, mask in problem.method.masks.items()
        }
        problem.method.set_masks(masks)
        for name, weight in problem.method.parameters.items():
            assert torch.equal(weight, weights[name] * masks[name])
    next(problem.steps())
    problem.method.set_masks({name: torch.ones_like(mask) for name, mask in masks.items()})
    for name, weight in problem.method.parameters.items():
        assert not weight[~masks[name]].any()
