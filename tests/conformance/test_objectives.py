"""What holds for every objective."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agc import rng
from agc.cost.meter import Meter
from agc.datasets.shared.loader import Batch
from agc.objectives.base import Objective
from agc.registry import OBJECTIVES

SIZE = 12


def network() -> nn.Module:
    with rng.isolated(1):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3)
        )


def batch() -> Batch:
    generator = rng.generator(0, "batch")
    images = torch.rand(SIZE, 2, 5, 5, generator=generator)
    return Batch(images, torch.randint(3, (SIZE,), generator=generator), noise=5)


def create(name: str) -> Objective:
    return OBJECTIVES.create(name, options={})


def prepare(name: str, model: nn.Module, seed: int = 0) -> Batch:
    return create(name).prepare(model, batch(), rng.generator(seed, "attack"))


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_prepared_batch_follows_from_model_batch_and_generator(name: str) -> None:
    model = network()
    torch.manual_seed(1)
    first = prepare(name, model)
    torch.manual_seed(2)
    again = prepare(name, model)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, batch().labels)
    assert first.noise == batch().noise


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_prepared_images_are_images_without_a_graph(name: str) -> None:
    prepared = prepare(name, network())
    assert prepared.images.shape == batch().images.shape
    assert prepared.images.dtype == batch().images.dtype
    assert not prepared.images.requires_grad
    assert prepared.images.min() >= 0
    assert prepared.images.max() <= 1
    if not torch.equal(prepared.images, batch().images):
        assert torch.equal(prepared.clean, batch().images)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_preparing_leaves_the_model_the_batch_and_the_global_stream(name: str) -> None:
    model, given = network(), batch()
    model[0].bias.requires_grad_(False)
    model[1].eval()
    tensors = [*model.parameters(), *model.buffers(), given.images, given.labels]
    before = [tensor.detach().clone() for tensor in tensors]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    stream = torch.get_rng_state()
    create(name).prepare(model, given, rng.generator(0, "attack"))
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_loss_is_a_finite_number_that_reaches_every_weight(name: str) -> None:
    model = network()
    prepared = prepare(name, model)
    loss = create(name).loss(model, prepared)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model[4].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_loss_can_be_replayed_at_other_weights(name: str) -> None:
    # A correction takes the same prepared batch to its snapshot: no draw, no state in between.
    model, objective = network(), create(name)
    prepared = objective.prepare(model, batch(), rng.generator(0, "attack"))
    stream = torch.get_rng_state()
    first = objective.loss(model, prepared)
    objective.loss(network(), prepared)
    assert torch.equal(objective.loss(model, prepared), first)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_passes_are_the_declared_ones(name: str) -> None:
    options = OBJECTIVES.resolve(name, {})
    target, model, meter = OBJECTIVES[name].target, network(), Meter()
    meter.watch(model)
    prepared = prepare(name, model)
    declared = target.preparation(**options)
    counts = (declared.forward, declared.input_backward, declared.backward)
    assert (meter.forward, meter.input_backward, meter.backward) == tuple(
        SIZE * count for count in counts
    )
    meter.load_state_dict(Meter().state_dict())
    create(name).loss(model, prepared).backward()
    declared = target.evaluation(**options)
    counts = (declared.forward, declared.input_backward, declared.backward)
    assert (meter.forward, meter.input_backward, meter.backward) == tuple(
        SIZE * count for count in counts
    )
    assert declared.units == declared.forward + 2 * (declared.input_backward + declared.backward)
