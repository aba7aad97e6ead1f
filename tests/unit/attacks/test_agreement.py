"""Attacks on an adversarially trained network: against other libraries, and against each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.attacks.base import Attack, fenced, outcomes
from agc.attacks.shared.pgd import pgd
from agc.attacks.shared.threat import BALLS
from agc.datasets.base import Split
from agc.objectives.shared.adversarial import against
from agc.registry import ATTACKS
from tests.support.robust_network import THREAT, pixels, right, robust_network

SEED, STEPS, STEP = 3, 20, 0.025
POINTS = 0.005
"""Half a percentage point."""


@pytest.fixture
def target(tiny_cell: Callable) -> tuple[nn.Module, Split]:
    return robust_network(tiny_cell)


def accuracy(model: nn.Module, found: Tensor, split: Split) -> float:
    images, labels = pixels(split)
    both = right(model, images, labels) & right(model, found, labels)
    return both.double().mean().item()


def own(model: nn.Module, split: Split, steps: int = STEPS) -> Tensor:
    images, labels = pixels(split)
    return pgd(
        model,
        images,
        against(labels),
        epsilon=THREAT.epsilon,
        step_size=STEP,
        steps=steps,
        generator=torch.Generator().manual_seed(SEED),
    )


def attacked_by(attack: Attack, target: tuple[nn.Module, Split]) -> Tensor:
    """Which test images stand the attack and are right without it."""
    model, split = target
    images, labels = pixels(split)
    held = right(model, images, labels)
    for restart in range(attack.restarts):
        held &= outcomes(attack, model, images, labels, THREAT, SEED + restart)
    return held


def named(name: str, **options: object) -> Attack:
    return ATTACKS.create(name, options=options)


def test_our_robust_accuracy_is_that_of_torchattacks(target: tuple[nn.Module, Split]) -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="pip install 'agc-bench[attacks]'")
    model, split = target
    with fenced(model, SEED) as clone:
        attack = torchattacks.PGD(clone, eps=THREAT.epsilon, alpha=STEP, steps=STEPS)
        found = attack(*pixels(split))
    ours = accuracy(model, own(model, split), split)
    assert 0.4 < ours < 0.95
    assert ours == pytest.approx(accuracy(model, found, split), abs=POINTS)


def test_our_robust_accuracy_is_that_of_foolbox(target: tuple[nn.Module, Split]) -> None:
    foolbox = pytest.importorskip("foolbox", reason="the cross-check needs foolbox 3")
    model, split = target
    with fenced(model, SEED) as clone:
        attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS)
        wrapped = foolbox.PyTorchModel(clone, bounds=(0, 1))
        _, found, _ = attack(wrapped, *pixels(split), epsilons=THREAT.epsilon)
    ours = accuracy(model, own(model, split), split)
    assert ours == pytest.approx(accuracy(model, found, split), abs=POINTS)


def test_more_steps_weaken_no_attack_on_average(target: tuple[nn.Module, Split]) -> None:
    model, split = target
    images, labels = pixels(split)
    losses = []
    for steps in (1, 5, 20, 50):
        with fenced(model, SEED) as clone, torch.no_grad():
            found = own(clone, split, steps)
            losses.append(against(labels)(clone(found)).item() / len(split))
    with torch.no_grad():
        noise = BALLS["linf"](images, THREAT.epsilon).start("uniform", torch.Generator())
        model.eval()
        clean, noisy = (against(labels)(model(x)).item() / len(split) for x in (images, noise))
        model.train()
    assert all(before <= after * 1.001 for before, after in pairwise([clean, *losses]))
    # As far from the images as the attack, and nowhere in particular.
    assert losses[-1] - clean > 10 * abs(noisy - clean)


def test_stronger_attacks_leave_less(target: tuple[nn.Module, Split]) -> None:
    model, split = target
    clean = right(model, *pixels(split)).double().mean().item()
    ladder = [named("fgsm"), named("pgd-20"), named("pgd-50x10", restarts=3)]
    found = [attacked_by(attack, target).double().mean().item() for attack in ladder]
    assert clean > found[0] > found[1] >= found[2] > 0.3


def test_no_gradient_is_masked(target: tuple[nn.Module, Split]) -> None:
    # A search without gradients that beat them, or far weaker ones, would tell of masked ones.
    pytest.importorskip("torchattacks", reason="pip install 'agc-bench[attacks]'")
    model, split = target
    few = (model, split[:80])
    by_gradient = attacked_by(named("pgd-20"), few).double().mean().item()
    by_search = attacked_by(named("square", queries=1000), few).double().mean().item()
    assert by_gradient - 0.02 <= by_search <= by_gradient + 0.1


def test_autoattack_leaves_the_least(target: tuple[nn.Module, Split]) -> None:
    pytest.importorskip("pyautoattack", reason="pip install 'agc-bench[autoattack]'")
    model, split = target
    few = (model, split[:5])
    held = attacked_by(named("autoattack"), few)
    assert held.sum() <= attacked_by(named("pgd-50x10", restarts=2), few).sum()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", sorted(set(ATTACKS.names()) - {"autoattack", "jiio"}))
def test_an_attack_leaves_everything_but_its_outcome(
    target: tuple[nn.Module, Split], name: str, norm: str
) -> None:
    import random

    import numpy as np

    pytest.importorskip("torchattacks", reason="pip install 'agc-bench[attacks]'")
    model, split = target
    threat = type(THREAT)(norm, {"linf": 0.1, "l2": 0.5}[norm])
    images, labels = pixels(split[:24])
    model.to(memory_format=torch.channels_last)
    few = {"steps": 3} if name.startswith("apgd") else {"queries": 40} if name == "square" else {}
    attack = named(name, **few)
    modes = [module.training for module in model.modules()]
    tensors = [*model.parameters(), *model.buffers(), images, labels]
    before = [tensor.detach().clone() for tensor in tensors]
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for parameter in model.parameters():
        parameter.grad = None
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        first = outcomes(attack, model, images, labels, threat, 1)
    second = outcomes(attack, model, images, labels, threat, 1)
    assert torch.equal(first, second)
    assert first.sum() < 24
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert np.array_equal(np.random.get_state()[1], streams[2])
    model.to(memory_format=torch.contiguous_format)


class Cheat(Attack):
    """Leaves the ball."""

    def craft(self, model: nn.Module, images: Tensor, labels: Tensor, threat: object) -> Tensor:
        return 1 - images


def test_an_attack_that_leaves_the_ball_is_an_error_or_without_effect(
    target: tuple[nn.Module, Split],
) -> None:
    model, split = target
    images, labels = pixels(split[:8])
    with pytest.raises(RuntimeError, match="Cheat left the ball"):
        outcomes(Cheat(), model, images, labels, THREAT, 1)
    cheat = Cheat()
    cheat.bounded = False
    assert outcomes(cheat, model, images, labels, THREAT, 1).all()


def test_the_targeted_attacks_need_four_classes() -> None:
    for name in ("apgd-t", "autoattack"):
        assert named(name).refuse(THREAT, 3) == "it needs 4 classes, there are 3"


def test_restarts_draw_other_starts(target: tuple[nn.Module, Split]) -> None:
    model, split = target
    images, labels = pixels(split[:16])
    with fenced(model, rng.derive(0, "one")) as clone:
        one = named("pgd-20").craft(clone, images, labels, THREAT)
    with fenced(model, rng.derive(0, "two")) as clone:
        two = named("pgd-20").craft(clone, images, labels, THREAT)
    assert not torch.equal(one, two)
    assert THREAT.contains(images, one).all()
