"""JIIO as an attack, beside PGD on the same equilibrium network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.base import EquilibriumClassifier
from agc.architectures.deq_tiny import DEQTiny
from agc.attacks.base import Threat
from agc.attacks.shared.joint_attack import CONVERGED, Crafted, attack_jointly
from agc.attacks.shared.pgd import pgd
from agc.cost.meter import Meter
from agc.objectives.shared.adversarial import against

THREATS = [Threat("l2", 0.6), Threat("linf", 0.1)]


@pytest.fixture(scope="module")
def model() -> EquilibriumClassifier:
    with rng.isolated(1):
        return EquilibriumClassifier(DEQTiny(width=48), (0.5,), (0.25,))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(32, 1, 8, 8, generator=rng.generator(0, "images"))


def labels(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(dim=1)


def jiio(model: nn.Module, images: Tensor, threat: Threat, iterations: int = 80) -> Crafted:
    return attack_jointly(
        model,
        images,
        labels(model, images),
        epsilon=threat.epsilon,
        step_size=0.6 * threat.epsilon,
        iterations=iterations,
        norm=threat.norm,
    )


def loss(model: nn.Module, images: Tensor, points: Tensor) -> float:
    with torch.no_grad():
        return against(labels(model, images))(model(points)).item() / len(images)


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
def test_it_raises_the_loss_within_the_ball(
    threat: Threat, model: EquilibriumClassifier, images: Tensor
) -> None:
    found = jiio(model, images, threat)
    assert threat.contains(images, found.images).all()
    assert not found.images.requires_grad
    assert loss(model, images, found.images) > 1.2 * loss(model, images, images)
    assert not found.failed.any()


def test_it_reaches_what_pgd_does_by_a_tenth_of_its_calls(
    model: EquilibriumClassifier, images: Tensor
) -> None:
    threat = THREATS[0]
    spent, losses = [], []
    for solver in ("pgd", "jiio"):
        meter = Meter()
        meter.watch(model)
        if solver == "pgd":
            points = pgd(
                model,
                images,
                against(labels(model, images)),
                epsilon=threat.epsilon,
                step_size=2.5 * threat.epsilon / 20,
                steps=20,
                generator=rng.generator(0, "start"),
                norm="l2",
            )
        else:
            points = jiio(model, images, threat, iterations=40).images
        # One pass gave the labels.
        spent.append(meter.cell_calls / len(images) - model.net.calls)
        losses.append(loss(model, images, points))
    assert spent == [20 * (model.net.calls + 1), 40]
    assert losses[1] > 0.99 * losses[0]


def test_the_model_comes_back_as_it_was(model: EquilibriumClassifier, images: Tensor) -> None:
    model.net.cell.eval()
    model.net.fc.bias.requires_grad_(False)
    before = [p.detach().clone() for p in model.parameters()]
    stream = torch.get_rng_state()
    jiio(model, images, THREATS[0], iterations=3)
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())
    assert not model.net.cell.training
    assert model.net.training
    assert not model.net.fc.bias.requires_grad
    assert torch.equal(torch.get_rng_state(), stream)
    model.net.cell.train()
    model.net.fc.bias.requires_grad_(True)


def test_more_iterations_stand_still(model: EquilibriumClassifier, images: Tensor) -> None:
    few = jiio(model, images, THREATS[0], iterations=2)
    many = jiio(model, images, THREATS[0], iterations=200)
    assert not few.converged.any()
    assert many.converged.double().mean() > 0.9
    assert torch.equal(many.converged, many.residuals < CONVERGED)


def test_a_network_that_is_broken_is_counted(model: EquilibriumClassifier, images: Tensor) -> None:
    with rng.isolated(1):
        broken = EquilibriumClassifier(DEQTiny(width=8), (0.5,), (0.25,))
    with torch.no_grad():
        broken.net.fc.weight[0, 0] = torch.nan
    found = attack_jointly(
        broken, images, torch.zeros(32, dtype=torch.int64), epsilon=1, step_size=1, iterations=12
    )
    assert found.failed.all()
    assert not found.converged.any()
    assert torch.equal(found.images, images)


def test_other_networks_are_refused(images: Tensor) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(ValueError, match="JIIO attacks equilibrium networks, and Sequential has"):
        attack_jointly(flat, images, torch.zeros(32).long(), epsilon=1, step_size=1, iterations=1)
