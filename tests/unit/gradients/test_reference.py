"""The older point: on networks of any kind, without a copy of them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from agc import AGC, MARS, SARAH, STORM, SVRG, rng
from agc.gradients.gradient import preserved_buffers
from agc.gradients.reference import ReferencePoint
from tests.support.library_problems import batches, loss_fn, same, smooth

Network = Callable[[], nn.Module]


class Locked(nn.Module):
    """Holds a lock, as networks that load their data or log in threads do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.lock = smooth(), threading.Lock()

    def forward(self, features: Tensor) -> Tensor:
        with self.lock:
            return self.inner(features)


class Remembers(Locked):
    """Keeps a tensor with a graph, which the loss reads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        logits = super().forward(features)
        self.norm = logits.square().mean()
        return logits + self.norm


class Lists(nn.Module):
    """Reaches its weights by a list and a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        with rng.isolated(1):
            self.first, self.second = (nn.Parameter(torch.randn(6, n).double()) for n in (6, 4))
        self.weights = [self.first, self.second]
        self.work = lambda features: (features @ self.weights[0]).tanh() @ self.weights[1]

    def forward(self, features: Tensor) -> Tensor:
        return self.work(features)


class Recomputes(nn.Module):
    """Runs again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = smooth()

    def forward(self, features: Tensor) -> Tensor:
        return checkpoint(self.inner, features, use_reentrant=False)


class Recurrent(nn.Module):
    """torch's own recurrent layer has a list of its weights."""

    def __init__(self) -> None:
        super().__init__()
        with rng.isolated(1):
            self.cell, self.head = nn.GRU(2, 5, batch_first=True), nn.Linear(5, 4)
        self.double()

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.cell(features.reshape(len(features), 3, 2))[0][:, -1])


class Grows(nn.Module):
    """Registers a cache when first called, and a table whose length follows the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = smooth(), 0
        self.register_buffer("table", torch.zeros(1, 4).double())
        self.register_buffer("mean", torch.zeros(6).double(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        if not hasattr(self, "cache"):
            self.register_buffer("cache", torch.ones(4).double(), persistent=False)
        self.calls += 1
        self.table = torch.full((self.calls, 4), 0.1).double()
        self.mean.lerp_(features.mean(dim=0), 0.1)
        self.mean = self.mean.clone()
        return self.inner(features + self.mean) * self.cache + self.table[-1]


def with_first(change: Callable[[nn.Module], Any]) -> Network:
    def made() -> nn.Module:
        model = smooth()
        with rng.isolated(3), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            change(model[0])
        return model

    return made


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.script(smooth())


def compiled_forward() -> nn.Module:
    model = smooth()
    model.forward = torch.compile(model.forward, backend="eager")
    return model


NETWORKS: dict[str, Network] = {
    "a lock": Locked,
    "a cached graph": Remembers,
    "weights in a list": Lists,
    "checkpointing": Recomputes,
    "recurrent": Recurrent,
    "buffers that change": Grows,
    "old weight norm": with_first(nn.utils.weight_norm),
    "old spectral norm": with_first(nn.utils.spectral_norm),
    "pruned": with_first(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "weight norm": with_first(parametrizations.weight_norm),
    "spectral norm": with_first(parametrizations.spectral_norm),
    "orthogonal": with_first(parametrizations.orthogonal),
    "scripted": scripted,
    "compiled forward": compiled_forward,
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return NETWORKS[request.param]()


def move(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)


def test_it_has_the_gradient_of_the_weights_that_it_was_taken_at(network: nn.Module) -> None:
    data, correction = batches(), SVRG(network)
    correction.begin_epoch(data, loss_fn)
    for batch in data[:2]:
        network.zero_grad()
        loss_fn(network, batch).backward()
        older = correction.reference_gradient(batch, loss_fn)
        assert same(older.values(), correction.gradients().values())


def test_it_stays_when_the_model_moves_and_the_model_when_it_is_asked(network: nn.Module) -> None:
    data = batches()
    loss_fn(network, data[0])
    point, objects = ReferencePoint(network), [*network.parameters(), *network.buffers()]
    with point.kept():
        expected, value = point.gradient(data[0], loss_fn), point.loss(data[1], loss_fn)
    assert any(torch.any(gradient != 0) for gradient in expected.values())
    move(network)
    present = [t.detach().clone() for t in objects]
    with point.kept():
        assert same(point.gradient(data[0], loss_fn).values(), expected.values())
        assert torch.equal(point.loss(data[1], loss_fn), value)
    now = [*network.parameters(), *network.buffers()]
    assert all(a is b for a, b in zip(objects, now, strict=True))
    assert same(now, present)


@pytest.mark.parametrize("kind", [AGC, SVRG, STORM, SARAH, MARS])
@pytest.mark.parametrize("made", [Locked, Remembers, NETWORKS["old weight norm"], Grows])
def test_a_network_that_cannot_be_copied_is_corrected(kind: type, made: Network) -> None:
    model, data = made(), batches()
    correction = kind(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    correction.begin_epoch(data, loss_fn)
    for batch in data:
        optimizer.zero_grad()
        loss_fn(model, batch).backward()
        correction.correct(batch, loss_fn)
        optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_buffers_that_change_are_those_of_the_training_passes_alone() -> None:
    """The table's length and the mean, which each pass replaces, follow four passes."""
    model, plain, data = Grows(), Grows(), batches()
    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    assert [*dict(model.named_buffers())] == ["table", "mean"]
    assert model.calls == 0
    for batch in data:
        for network in (model, plain):
            network.zero_grad()
            loss_fn(network, batch).backward()
        correction.correct(batch, loss_fn)
    assert (model.calls, len(model.table)) == (4, 4)
    assert same(model.buffers(), plain.buffers())
    assert [*model.state_dict()] == [*plain.state_dict()]


def test_no_write_to_the_point_counts_as_one_to_the_model() -> None:
    model, data = smooth(), batches()
    before = [p._version for p in model.parameters()]
    point = ReferencePoint(model)
    point.load_state_dict(point.state_dict())
    point.gradient(data[0], loss_fn)
    AGC(model, variant="a-rigl")
    assert [p._version for p in model.parameters()] == before


def test_a_state_with_buffers_of_other_shapes_is_taken_back() -> None:
    model, other, data = Grows(), Grows(), batches()
    for batch in data:
        loss_fn(model, batch)
    state = ReferencePoint(model).state_dict()
    point = ReferencePoint(other)
    point.load_state_dict(state)
    assert same(point.state_dict().values(), state.values())
    assert len(other.table) == 1
    extra, other_shape = {"nowhere.extra": torch.ones(2)}, {"inner.0.bias": torch.ones(2)}
    for wrong in ({**state, **extra}, {**state, **other_shape}, {}):
        with pytest.raises(RuntimeError, match="does not fit"):
            point.load_state_dict(wrong)


def test_the_loss_may_do_anything_with_the_model_that_it_is_given() -> None:
    """Call it twice, call parts, read its mode, and add the norm of its weights."""

    def free(model: nn.Module, batch: Any) -> Tensor:
        hidden = model[1](model[0](batch[0]))
        norm = sum(p.square().sum() for p in model.parameters())
        both = model(batch[0]) + model[2](hidden)
        return cross_entropy(both, batch[1]) + (0.1 if model.training else 0.2) * norm

    model, data = smooth(), batches()
    point, parameters = ReferencePoint(model), list(model.parameters())
    expected = torch.autograd.grad(free(model, data[0]), parameters)
    move(model)
    assert same(point.gradient(data[0], free).values(), expected)


def test_a_model_of_other_shapes_is_refused_by_name() -> None:
    model = smooth()
    point = ReferencePoint(model)
    model[2] = nn.Linear(8, 5).double()
    with pytest.raises(RuntimeError, match=r"2\.weight has been removed or replaced"):
        point.gradient(batches()[0], loss_fn)


def test_the_model_is_whole_again_after_an_error() -> None:
    model, data = Grows(), batches()
    loss_fn(model, data[0])
    point = ReferencePoint(model)
    move(model)
    before = [t.detach().clone() for t in [*model.parameters(), *model.buffers()]]

    def fails(model: nn.Module, batch: Any) -> Tensor:
        loss_fn(model, batch)
        raise KeyError

    with pytest.raises(KeyError):
        point.gradient(data[0], fails)
    with pytest.raises(KeyError), preserved_buffers(model):
        fails(model, data[0])
    assert same([*model.parameters(), *model.buffers()], before)
    assert model.calls == 1


def test_a_table_that_is_shared_is_shared_at_the_point_too() -> None:
    norms = [nn.BatchNorm1d(6, affine=False).double() for _ in range(2)]
    model = nn.Sequential(*norms, smooth())
    model[1].running_mean = model[0].running_mean
    point = ReferencePoint(model)
    point.loss(batches()[0], loss_fn)
    with point.lent():
        assert model[1].running_mean is model[0].running_mean
        assert model[0].running_mean.abs().sum() > 0
    assert model[0].running_mean.abs().sum() == 0
