"""What holds for every attack whose library is there; each check takes a name and asserts."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.base import EquilibriumClassifier, build_network
from agc.attacks.base import Attack, Threat, fenced, outcomes
from agc.conformance.checks import DoesNotApply, listed
from agc.registry import ATTACKS

CLASSES = 5
IMAGES = 8
THREATS = (Threat("linf", 0.3), Threat("l2", 1.5))

FEW = {"steps": 3, "queries": 40, "restarts": 2}
"""Options, where an attack has them, that make it short."""


def network(name: str) -> nn.Module:
    """All that an attack could disturb: dropout, normalisation, mixed modes, a frozen weight; a
    small equilibrium network for attacks on those.
    """
    if ATTACKS[name].target.equilibrium:
        return equilibrium()
    with rng.isolated(1):
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(6 * 64, CLASSES),
        )
    model[0].bias.requires_grad_(False)
    model[1].eval()
    return model.to(memory_format=torch.channels_last)


def equilibrium() -> nn.Module:
    """A classifier around one, with mixed modes and a frozen weight."""
    with rng.isolated(1):
        model = build_network("deq_tiny", {"width": 16}, (1, 8, 8), CLASSES)
    model.fc.bias.requires_grad_(False)
    model.injection.eval()
    return EquilibriumClassifier(model, (0.5,), (0.25,))


def right_images(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Random images, and labels that the network gets right."""
    images = torch.rand(IMAGES, 1, 8, 8, generator=rng.generator(0, "images"))
    with fenced(model, 0) as clone, torch.no_grad():
        return images, clone(images).argmax(dim=1)


def create(name: str, threat: Threat) -> Attack:
    """The attack, made short.

    Raises:
        DoesNotApply: it refuses, as its library is not installed.
    """
    known = ATTACKS.options(name).model_fields
    attack = ATTACKS.create(name, options={k: v for k, v in FEW.items() if k in known})
    reason = attack.refuse(threat, CLASSES)
    if reason is not None:
        raise DoesNotApply(reason)
    return attack


def what_it_crafts_are_images_in_the_ball(name: str) -> None:
    """In both norms; of the images' shape and type."""
    model = network(name)
    images, labels = right_images(model)
    for threat in THREATS:
        attack = create(name, threat)
        with fenced(model, 1) as clone:
            crafted = attack.craft(clone, images, labels, threat).detach()
        assert crafted.shape == images.shape, f"{threat.norm}: shape {tuple(crafted.shape)}"
        assert crafted.dtype == images.dtype, f"{threat.norm}: type {crafted.dtype}"
        if attack.bounded:
            assert threat.contains(images, crafted).all(), f"{threat.norm}: it left the ball"


def some_images_do_not_stand_it(name: str) -> None:
    """A network that was never trained withstands no attack."""
    model = network(name)
    for threat in THREATS:
        held = outcomes(create(name, threat), model, *right_images(model), threat, 1)
        assert not held.all(), f"{threat.norm}: every image stands it"


def the_outcome_follows_from_the_seed(name: str) -> None:
    """Within autocast and inference mode too."""
    model = network(name)
    images, labels = right_images(model)
    for threat in THREATS:
        attack = create(name, threat)
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            first = outcomes(attack, model, images, labels, threat, 1)
        torch.manual_seed(7)
        second = outcomes(create(name, threat), model, images, labels, threat, 1)
        assert torch.equal(first, second), f"{threat.norm}: two attacks of one seed differ"


def nothing_but_the_outcome_is_left(name: str) -> None:
    """Weights, buffers, gradients, flags, modes, images and random streams are as before."""
    model, threat = network(name), THREATS[0]
    images, labels = right_images(model)
    attack = create(name, threat)
    tensors = [*model.parameters(), *model.buffers(), images, labels]
    before = [tensor.detach().clone() for tensor in tensors]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    outcomes(attack, model, images, labels, threat, 1)
    same = all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert same, "a weight, a buffer, an image or a label changed"
    assert [p.requires_grad for p in model.parameters()] == flags, "requires_grad changed"
    assert [module.training for module in model.modules()] == modes, "a module's mode changed"
    assert all(p.grad is None for p in model.parameters()), "a gradient was left"
    assert torch.equal(torch.get_rng_state(), streams[0]), "torch's random stream moved"
    assert random.getstate() == streams[1], "Python's random stream moved"
    assert np.array_equal(np.random.get_state()[1], streams[2]), "NumPy's random stream moved"


CHECKS = listed(
    what_it_crafts_are_images_in_the_ball,
    some_images_do_not_stand_it,
    the_outcome_follows_from_the_seed,
    nothing_but_the_outcome_is_left,
)
