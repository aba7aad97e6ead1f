"""What holds for every architecture, ours and timm's; each check takes a name and asserts."""

from __future__ import annotations

import copy
import random
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.base import build_network, first_pass
from agc.architectures.shared.equilibrium import equilibrium_of
from agc.conformance.checks import DoesNotApply, listed
from agc.conformance.correction_problem import same
from agc.conformance.seen import compare_flops, compare_zeros
from agc.cost.flops import layer_flops
from agc.errors import UserError
from agc.methods.rigl import RigL
from agc.methods.static import Static
from agc.training.step import Step

IMAGES = ((3, 32, 32), (1, 28, 28), (3, 224, 224), (3, 240, 240), (3, 256, 256))
"""Channels, height and width: the first that a network takes is what it is checked with."""

CLASSES = 10


def made(name: str, image: tuple[int, int, int], classes: int = CLASSES) -> nn.Module:
    """The network without its numbers.

    Raises:
        UserError: it does not take such images.
    """
    with torch.device("meta"):
        model = build_network(name, {}, image, classes)
        try:
            model.eval()(torch.empty(2, *image))
        except (RuntimeError, AssertionError) as error:
            raise UserError(str(error)) from error
    return model


@lru_cache(maxsize=1)
def image_of(name: str) -> tuple[int, int, int]:
    """The first of :data:`IMAGES` that it takes.

    Raises:
        DoesNotApply: it takes none of them.
    """
    for image in IMAGES:
        try:
            made(name, image)
        except (UserError, ArithmeticError):
            continue
        return image
    raise DoesNotApply(f"it takes none of the images {IMAGES}")


def drawn(name: str, seed: int = 1) -> nn.Module:
    """The network with its initial weights, those of lazy layers too."""
    with rng.isolated_everywhere(seed):
        model = build_network(name, {}, image_of(name), CLASSES)
        first_pass(model, pictures(name), name, {}, CLASSES)
    return model.train()


def pictures(name: str) -> Tensor:
    """Two random images."""
    return torch.randn(2, *image_of(name), generator=rng.generator(0, "pictures"))


def it_gives_as_many_logits_as_there_are_classes(name: str) -> None:
    """Its head can be replaced by one of another number."""
    image = image_of(name)
    for classes in (CLASSES, 7):
        model = made(name, image, classes)
        shape = model(torch.empty(2, *image, device="meta")).shape
        assert shape == (2, classes), f"{tuple(shape)} for two images of {classes} classes"
    model.reset_classifier(5)
    assert model.to_empty(device="meta")(torch.empty(2, *image, device="meta")).shape == (2, 5)


def initial_weights_follow_from_the_global_stream(name: str) -> None:
    """Another seed gives other ones; the cell's seed is all that decides."""
    weights = []
    for seed in (1, 1, 2):
        weights.append([*drawn(name, seed).parameters()])
        # The streams that a neighbour has moved, as where several cells share a process.
        torch.rand(1), random.random(), np.random.rand()
    assert same(weights[0], weights[1]), "two networks of one seed differ"
    assert not same(weights[0], weights[2]), "the seed does not matter"


def no_weight_comes_later_than_the_first_image(name: str) -> None:
    """What a pass in training mode adds would get no optimizer, no mask and no seed."""
    model = drawn(name)
    before = dict(model.named_parameters())
    with rng.isolated(2):
        model(pictures(name))
    after = dict(model.named_parameters())
    assert after.keys() == before.keys(), f"new ones: {[n for n in after if n not in before]}"
    replaced = [weight for weight in after if after[weight] is not before[weight]]
    assert not replaced, f"others in their place: {replaced}"


def the_loss_reaches_every_weight(name: str) -> None:
    """In training mode, with a finite gradient."""
    model = drawn(name).train()
    with rng.isolated(2):
        nn.functional.cross_entropy(model(pictures(name)), torch.tensor([0, 1])).backward()
    for weight, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{weight} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"the gradient of {weight} is not finite"


def a_copy_computes_the_same(name: str) -> None:
    """Corrections and attacks work on deep copies; one in channels-last order is as good."""
    model = drawn(name).eval()
    images = pictures(name)
    with torch.no_grad():
        expected = model(images)
        assert torch.equal(copy.deepcopy(model)(images), expected), "a copy computes something else"
        model = model.to(memory_format=torch.channels_last)
        close = torch.allclose(model(images), expected, rtol=1e-3, atol=1e-3)
        assert close, "in channels-last order it computes something else"


def an_image_is_classified_by_itself(name: str) -> None:
    """In evaluation mode an image's logits do not depend on the others of its batch."""
    model, images = drawn(name).eval(), pictures(name)
    with torch.no_grad():
        together, alone = model(images), torch.cat([model(image[None]) for image in images])
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-3), "a batch mixes its images"


def it_can_be_made_sparse(name: str) -> None:
    """Exactly as sparse as was asked for, and the network still computes."""
    model = drawn(name).eval()
    sparse = made_sparse(model)
    total = sum(p.numel() for p in sparse.parameters.values())
    active = sum(int(mask.sum()) for mask in sparse.masks.values())
    assert active == round(0.2 * total), f"{active} of {total} weights are active"
    with torch.no_grad():
        assert torch.isfinite(model(pictures(name))).all(), "a logit is not finite"


def operations_see_the_zeros_and_the_flops(name: str) -> None:
    """A forward pass multiplies with the masked weights as they are, and each weight has the FLOPs
    of the operations that do.
    """
    model = drawn(name).eval()
    sparse, image = made_sparse(model), pictures(name)[:1]
    parameters = sparse.parameters
    used = compare_zeros(model, parameters, image, lambda: model(image), sparse.masks)
    flops = layer_flops(model, image, parameters)
    compare_flops(model, parameters, image, used, flops.layers)
    assert flops.rest >= 0, f"weights have {-flops.rest} FLOPs more than there are"


def an_equilibrium_stays_a_contraction(name: str) -> None:
    """After each step of RigL, updates of the topology among them, its cell's norm is below 1."""
    model = drawn(name)
    network = equilibrium_of(model)
    if network is None:
        raise DoesNotApply("it is no equilibrium network")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    options = {"total_steps": 12, "update_interval": 2}
    sparse = RigL(model, optimizer, sparsity=0.5, **options)

    def loss_fn(model: nn.Module, batch: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(batch), torch.tensor([0, 1]))

    step = Step(model, optimizer, loss_fn, sparse)
    for number in range(6):
        step(pictures(name))
        norm = network.cell.norm().item()
        assert norm <= network.limit * (1 + 1e-5), f"norm {norm:.3f} after step {number + 1}"


def made_sparse(model: nn.Module) -> Static:
    """With random masks.

    Raises:
        DoesNotApply: it has layers that multiply with something else than their weights.
    """
    try:
        return Static(model, sparsity=0.8)
    except ValueError as error:
        if not str(error).startswith("cannot prune"):
            raise
        raise DoesNotApply(str(error)) from error


CHECKS = listed(
    it_gives_as_many_logits_as_there_are_classes,
    initial_weights_follow_from_the_global_stream,
    no_weight_comes_later_than_the_first_image,
    the_loss_reaches_every_weight,
    a_copy_computes_the_same,
    an_image_is_classified_by_itself,
    it_can_be_made_sparse,
    operations_see_the_zeros_and_the_flops,
    an_equilibrium_stays_a_contraction,
)
