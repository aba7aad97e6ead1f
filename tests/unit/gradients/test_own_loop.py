"""Corrections in a training loop of one's own."""

from __future__ import annotations

import runpy
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import agc
from agc import SAM, SVRG, RigL
from agc.registry import CORRECTIONS, METHODS
from tests.support.library_problems import (
    NAMES,
    Everything,
    batches,
    flat,
    loss_fn,
    make,
    same,
    sentences,
    smooth,
    train,
)

OPTIMIZERS = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "AdamW": {"lr": 1e-2},
    "RMSprop": {"lr": 1e-3, "momentum": 0.5},
    "Adagrad": {"lr": 1e-2},
    "Adafactor": {"lr": 1e-2},
    "NAdam": {"lr": 1e-2},
}


ONE_KIND = "clean-bias"
"""What compares two kinds of images, and so adds nothing where a loader has one."""


def test_every_entry_has_a_public_name() -> None:
    for registry in (CORRECTIONS, METHODS):
        for name in registry.names():
            target = registry[name].target
            if target.__module__.startswith("agc."):
                assert getattr(agc, target.__name__) is target
    with pytest.raises(AttributeError, match="no attribute 'Adam'"):
        _ = agc.Adam


@pytest.mark.parametrize("script", ["own_loop", "accumulation"])
def test_the_examples_learn(script: str, repository: Path) -> None:
    main = runpy.run_path(str(repository / "examples" / f"{script}.py"))["main"]
    assert main() < 0.8


def sparse_training(name: str, kind: str, **options: Any) -> tuple[nn.Module, list[Tensor]]:
    torch.manual_seed(3)
    model = Everything()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = getattr(torch.optim, kind)(trained, **OPTIMIZERS[kind])
    sparse = RigL(model, optimizer, sparsity=0.5, total_steps=40, update_interval=3)
    correction = make(name, model, **options)
    train(model, optimizer, correction, [sentences()] * 2, sparse=sparse)
    states = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    tensors = [*model.state_dict().values(), *states, *sparse.masks.values()]
    return model, [*tensors, torch.get_rng_state()]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_with_any_optimizer_a_coefficient_of_zero_changes_no_bit(kind: str) -> None:
    _, plain = sparse_training("none", kind)
    assert same(plain, sparse_training("agc", kind, gamma=0.0)[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_network_with_everything_is_trained(name: str) -> None:
    fresh = Everything()
    model, found = sparse_training(name, "AdamW")
    _, plain = sparse_training("none", "AdamW")
    assert all(torch.isfinite(t).all() for t in found)
    if name not in ("none", ONE_KIND):
        assert not same(found, plain)
    assert model.head.weight is model.embedding.weight
    assert not torch.equal(model.head.weight, fresh.head.weight)
    masked = fresh.frozen.weight * (model.frozen.weight != 0)
    assert torch.equal(model.frozen.weight, masked)
    assert model.unused.weight.grad is None
    assert int(model.calls) == 8
    assert not model.still.training
    assert torch.equal(found[-1], plain[-1])  # dropout of the next step is the plain run's


def test_masks_have_the_names_of_the_parameters() -> None:
    model = Everything()
    sparse = RigL(model, sparsity=0.5, total_steps=40)
    names = dict(model.named_parameters())
    assert "embedding.weight" in sparse.masks
    assert all(names[name] is parameter for name, parameter in sparse.parameters.items())


def test_dropout_draws_the_same_masks_at_both_points() -> None:
    model, data = Everything(rate=0.5), sentences()
    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    for batch in data:
        model.zero_grad()
        loss_fn(model, batch).backward()
        stream = torch.get_rng_state()
        older = correction.reference_gradient(batch, loss_fn)
        assert torch.equal(torch.get_rng_state(), stream)
        present = correction.gradients()
        assert set(older) - set(present) == {"unused.weight", "unused.bias"}
        assert all(torch.equal(older[name], present[name]) for name in present)


def test_two_forward_passes_in_a_loss_are_replayed_in_order() -> None:
    def twice(model: nn.Module, batch: Any) -> Tensor:
        return loss_fn(model, batch) + (model(batch[0]) - model(batch[0])).square().mean()

    model, data = Everything(rate=0.5), sentences()
    correction = SVRG(model)
    correction.begin_epoch(data, twice)
    for step, batch in enumerate(data):
        loss_fn(model, batch)  # a forward pass that no step follows
        model.zero_grad()
        twice(model, batch).backward()
        older = correction.reference_gradient(batch, twice)
        if step > 0:  # how many passes there are is known from the first replay on
            assert all(torch.equal(older[n], g) for n, g in correction.gradients().items())


def test_a_loss_of_another_model_than_the_one_given_is_refused() -> None:
    model, other, data = smooth(), smooth(), batches()
    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    with pytest.raises(ValueError, match="must use its first argument"):
        correction.correct(data[0], lambda _, batch: loss_fn(other, batch))


def test_a_loss_that_holds_the_model_itself_is_corrected_as_well() -> None:
    model, data = smooth(), batches()
    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    expected = correction.reference_gradient(data[0], loss_fn)
    found = correction.reference_gradient(data[0], lambda _, batch: loss_fn(model, batch))
    assert same(expected.values(), found.values())


def test_workers_of_the_loader_change_no_bit() -> None:
    data = TensorDataset(
        torch.cat([b.features for b in batches()]), torch.cat([b.labels for b in batches()])
    )
    results = []
    for workers in (0, 2):
        torch.manual_seed(4)
        loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=workers)
        model = smooth()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        train(model, optimizer, make("agc", model), [loader] * 2)
        results.append([*model.parameters(), torch.get_rng_state()])
    assert same(*results)


def test_mega_batches_of_a_loader_differ_within_an_epoch() -> None:
    seen: list[Tensor] = []

    def noted(model: nn.Module, batch: Any) -> Tensor:
        seen.append(batch[0])
        return loss_fn(model, batch)

    torch.manual_seed(4)
    data = TensorDataset(torch.randn(64, 6).double(), torch.randint(4, (64,)))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model = smooth()
    correction = make("scsg", model, batches=2, interval=2)
    correction.begin_epoch(loader, noted)
    state = torch.get_rng_state()
    for _ in range(4):
        with correction.point(None, noted):
            pass
    assert torch.equal(torch.get_rng_state(), state)
    assert len(seen) == 4
    assert not torch.equal(seen[0], seen[2])


def test_an_autocast_around_the_whole_step_keeps_no_stale_weights() -> None:
    def inside(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return loss_fn(model, batch)

    results = []
    for outer, loss in ((False, inside), (True, loss_fn)):
        model = smooth(torch.float32)
        correction, data = SAM(model, rho=1.0), batches(dtype=torch.float32)
        # Even a disabled autocast would make the inner one keep its casts.
        with torch.autocast("cpu", torch.bfloat16) if outer else nullcontext():
            with correction.point(data[0], loss):
                loss(model, data[0]).backward()
            correction.correct(data[0], loss)
        results.append(flat(p.grad for p in model.parameters()))
    assert torch.equal(*results)


def test_a_compiled_model_is_corrected_as_the_plain_one() -> None:
    results = []
    for backend in (None, "eager"):
        model = smooth()
        whole = torch.compile(model, backend=backend) if backend else model
        optimizer = torch.optim.SGD(whole.parameters(), lr=0.05)
        train(whole, optimizer, make("agc", whole), [batches()] * 2)
        results.append(flat(model.parameters()))
    torch.testing.assert_close(*results, rtol=0, atol=1e-13)
    assert "torch._dynamo" in sys.modules
