"""Gradients in torch's sparse layout: they give what dense ones give, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import Step
from agc.conformance.correction_cells import OPTIONS
from agc.datasets.shared.loader import Batch
from agc.errors import UserError
from agc.methods.base import SparseMethod
from agc.registry import CORRECTIONS, METHODS
from tests.support.library_problems import flat

TAKE = [name for name in CORRECTIONS.names() if CORRECTIONS[name].target.sparse_gradients]
REFUSE = [name for name in CORRECTIONS.names() if name not in TAKE]
OTHERS = {"storm": {"a": None}, "mars": {"exact": False}, "agc-running": {"estimator": "layer"}}


class Words(nn.Module):
    """The mean of embedded tokens through two linear layers, as a batch of images would go."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8, sparse=sparse)
        self.hidden = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.words(tokens).mean(dim=1))))


class Bag(Words):
    """The same by a bag."""

    def __init__(self, sparse: bool) -> None:
        super().__init__(sparse)
        self.words = nn.EmbeddingBag(20, 8, sparse=sparse)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.words(tokens))))


def made(kind: type[Words], sparse: bool) -> Words:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(sparse).double()


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch.images), batch.labels)


def batches() -> list[Batch]:
    draws = torch.Generator().manual_seed(1)
    return [
        Batch(
            torch.randint(20, (8, 5), generator=draws),
            torch.randint(4, (8,), generator=draws),
            index=index,
        )
        for index in range(4)
    ]


def method_of(name: str, model: nn.Module, optimizer: Any, **options: Any) -> SparseMethod:
    sparsity = 0.5 if METHODS[name].target.sparse else 0.0
    return METHODS.create(
        name, model, optimizer, options=options, sparsity=sparsity, total_steps=8, seed=0
    )


def trained(
    kind: type[Words], sparse: bool, correction: str, method: str, options: dict[str, Any]
) -> Tensor:
    """All weights after two epochs."""
    model = made(kind, sparse)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    masked = method_of(method, model, optimizer)
    corrected = CORRECTIONS.create(correction, model, options=options, seed=0, epochs=2)
    step, data = Step(model, optimizer, loss_fn, masked, corrected), batches()
    for _ in range(2):
        step.begin_epoch(data)
        for batch in data:
            step(batch)
    return flat(model.parameters())


@pytest.mark.parametrize("kind", [Words, Bag])
@pytest.mark.parametrize("name", TAKE)
def test_a_correction_that_takes_them_corrects_as_by_dense_ones(
    name: str, kind: type[Words]
) -> None:
    for options in (OPTIONS.get(name, {}), OTHERS.get(name, {})):
        runs = [trained(kind, sparse, name, "rigl", options) for sparse in (True, False)]
        # The rows of a token that comes twice are added up in another order.
        torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [Words, Bag])
@pytest.mark.parametrize("name", REFUSE)
def test_a_correction_that_does_not_names_the_layer(name: str, kind: type[Words]) -> None:
    model = made(kind, sparse=True)
    with pytest.raises(UserError, match=r"layer 'words' gives sparse .* sparse=False"):
        CORRECTIONS.create(name, model, options={}, seed=0, epochs=2)
    model.words.weight.requires_grad_(False)
    CORRECTIONS.create(name, model, options={}, seed=0, epochs=2)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_that_leaves_the_embedding_dense_trains_as_by_dense_ones(name: str) -> None:
    if name in ("small-dense", "synflow", "vr-pge"):
        pytest.skip("it works on images alone, or on convolutions")
    runs = [trained(Words, sparse, "none", name, {}) for sparse in (True, False)]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


PRUNERS = [n for n in METHODS.names() if "also_prune" in METHODS.options(n).model_fields]


@pytest.mark.parametrize("name", PRUNERS)
def test_an_embedding_that_is_to_be_pruned_is_refused_by_name(name: str) -> None:
    model = made(Words, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UserError, match="layer 'words' gives sparse gradients"):
        method_of(name, model, optimizer, also_prune=("words",))


class SparseGradient(torch.autograd.Function):
    """The identity, with a sparse gradient."""

    @staticmethod
    def forward(context: Any, weight: Tensor) -> Tensor:
        return weight.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient.to_sparse()


class Surprise(Words):
    """Nobody knows of a layer's sparse gradient before it is there."""

    def forward(self, tokens: Tensor) -> Tensor:
        inputs = self.words(tokens).mean(dim=1)
        weight = SparseGradient.apply(self.hidden.weight)
        return self.head(torch.tanh(nn.functional.linear(inputs, weight, self.hidden.bias)))


@pytest.mark.parametrize("name", REFUSE)
def test_a_sparse_gradient_that_comes_unforeseen_stops_a_correction_by_name(name: str) -> None:
    model = made(Surprise, sparse=False)
    correction = CORRECTIONS.create(name, model, options={}, seed=0, epochs=2)
    correction.begin_epoch(batches(), loss_fn)
    loss_fn(model, batches()[0]).backward()
    with pytest.raises(UserError, match=r"the gradient of 'hidden.weight' is sparse"):
        correction.correct(batches()[0], loss_fn)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_sparse_gradient_that_comes_unforeseen_stops_a_method_by_name(name: str) -> None:
    if name in ("small-dense", "synflow", "vr-pge"):
        pytest.skip("it works on images alone, or on convolutions")
    with pytest.raises(UserError, match=r"the gradient of 'hidden.weight' is sparse"):
        trained(Surprise, False, "none", name, {})
