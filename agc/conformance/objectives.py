"""What holds for every objective; each check takes a name and asserts."""

from __future__ import annotations

import torch
from torch import nn

from agc import rng
from agc.conformance.cells import small_cell, train_cell
from agc.conformance.checks import listed
from agc.cost.meter import Meter
from agc.cost.units import Passes
from agc.datasets.shared.loader import Batch
from agc.objectives.base import Objective
from agc.registry import OBJECTIVES

SIZE = 12


def network() -> nn.Module:
    """A convolution with normalisation and a classifier of 3 classes, for images of 2 x 5 x 5."""
    with rng.isolated(1):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3)
        )


def batch() -> Batch:
    """Twelve random images with labels."""
    generator = rng.generator(0, "batch")
    images = torch.rand(SIZE, 2, 5, 5, generator=generator)
    return Batch(images, torch.randint(3, (SIZE,), generator=generator), noise=5)


def create(name: str) -> Objective:
    """The objective with its default options."""
    return OBJECTIVES.create(name, options={})


def prepare(name: str, model: nn.Module, seed: int = 0) -> Batch:
    """The batch as a new objective prepares it."""
    return create(name).prepare(model, batch(), rng.generator(seed, "attack"))


def a_prepared_batch_follows_from_model_batch_and_generator(name: str) -> None:
    """No global random stream matters, and labels and noise are the batch's."""
    model = network()
    torch.manual_seed(1)
    first = prepare(name, model)
    torch.manual_seed(2)
    again = prepare(name, model)
    assert torch.equal(first.images, again.images), "a global random stream matters"
    assert torch.equal(first.labels, batch().labels), "labels changed"
    assert first.noise == batch().noise, "the noise of the batch changed"


def prepared_images_are_images_without_a_graph(name: str) -> None:
    """Of the same shape and type, in [0, 1]; where they changed, the clean ones are kept."""
    prepared, given = prepare(name, network()), batch()
    assert prepared.images.shape == given.images.shape
    assert prepared.images.dtype == given.images.dtype
    assert not prepared.images.requires_grad, "prepared images have a graph"
    assert prepared.images.min() >= 0, "a pixel is below 0"
    assert prepared.images.max() <= 1, "a pixel is above 1"
    if not torch.equal(prepared.images, given.images):
        assert torch.equal(prepared.clean, given.images), "`clean` does not hold the clean images"


def preparing_leaves_the_model_the_batch_and_the_global_stream(name: str) -> None:
    """Weights, buffers, gradients, flags and modes too."""
    model, given = network(), batch()
    model[0].bias.requires_grad_(False)
    model[1].eval()
    tensors = [*model.parameters(), *model.buffers(), given.images, given.labels]
    before = [tensor.detach().clone() for tensor in tensors]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    stream = torch.get_rng_state()
    create(name).prepare(model, given, rng.generator(0, "attack"))
    same = all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert same, "a weight, a buffer or the batch changed"
    assert [p.requires_grad for p in model.parameters()] == flags, "requires_grad changed"
    assert [module.training for module in model.modules()] == modes, "a module's mode changed"
    assert all(p.grad is None for p in model.parameters()), "a gradient was left"
    assert torch.equal(torch.get_rng_state(), stream), "a global random stream moved"


def the_loss_is_a_finite_number_that_reaches_every_weight(name: str) -> None:
    """A scalar with a graph."""
    model = network()
    loss = create(name).loss(model, prepare(name, model))
    assert loss.shape == (), f"the loss has the shape {tuple(loss.shape)}"
    assert torch.isfinite(loss), "the loss is not finite"
    loss.backward()
    for weight, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{weight} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"the gradient of {weight} is not finite"
    assert model[4].weight.grad.abs().sum() > 0, "the classifier's gradient is 0"


def the_loss_can_be_replayed_at_other_weights(name: str) -> None:
    """A correction takes the same prepared batch to its snapshot: no draw, no state in between."""
    model, objective = network(), create(name)
    prepared = objective.prepare(model, batch(), rng.generator(0, "attack"))
    stream = torch.get_rng_state()
    first = objective.loss(model, prepared)
    objective.loss(network(), prepared)
    assert torch.equal(objective.loss(model, prepared), first), "a second look gives another loss"
    assert torch.equal(torch.get_rng_state(), stream), "a global random stream moved"


def passes_are_the_declared_ones(name: str) -> None:
    """``preparation`` and ``evaluation`` say what a batch costs; the meter counts it."""
    options = OBJECTIVES.resolve(name, {})
    target, model, meter = OBJECTIVES[name].target, network(), Meter()
    meter.watch(model)
    prepared = prepare(name, model)
    _compare(meter, target.preparation(**options), "prepare")
    meter.load_state_dict(Meter().state_dict())
    create(name).loss(model, prepared).backward()
    _compare(meter, target.evaluation(**options), "loss")


def _compare(meter: Meter, declared: Passes, what: str) -> None:
    counted = (meter.forward, meter.input_backward, meter.backward)
    passes = (declared.forward, declared.input_backward, declared.backward)
    assert counted == tuple(SIZE * count for count in passes), (
        f"{what}: {[count / SIZE for count in counted]} passes counted, {list(passes)} declared "
        "(forward, backward to the input, backward to the weights)"
    )
    assert declared.units == declared.forward + 2 * (declared.input_backward + declared.backward)


def trains_in_a_cell(name: str) -> None:
    """Two short epochs on digits with RigL, corrected by AGC."""
    train_cell(small_cell("rigl", objective=name, correction="agc"))


CHECKS = listed(
    a_prepared_batch_follows_from_model_batch_and_generator,
    prepared_images_are_images_without_a_graph,
    preparing_leaves_the_model_the_batch_and_the_global_stream,
    the_loss_is_a_finite_number_that_reaches_every_weight,
    the_loss_can_be_replayed_at_other_weights,
    passes_are_the_declared_ones,
)

IN_CELLS = listed(trains_in_a_cell)
