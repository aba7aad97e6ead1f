"""The bias of AGC's variant a-bsr by itself: its formula, and what a-bsr is beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agc.conformance.correction_cells import objective_named, result, tiny, trained
from agc.conformance.correction_problem import same
from agc.corrections.agc import AGC
from agc.corrections.clean_bias import CleanBias
from agc.training.build import build
from agc.training.loop import DataPass, train
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import gradients

GAMMA, ALPHA = 0.7, 0.4
ATTACKED = objective_named("pgd-at")


class TwoKinds(list):
    """Batches as steps see them, which know the stored images: here the same, moved by a half."""

    def showing(self, images: str) -> list[Any]:
        assert images == "raw"
        return [(image + 0.5, label) for image, label in self]


def full_gradient(model: torch.nn.Module, batches: list[Any]) -> Tensor:
    loss = sum(mean_loss(model, batch) for batch in batches) / len(batches)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*model.parameters()])])


@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_the_corrected_gradient_is_the_formula(epoch: int) -> None:
    model, batches = smooth_network(), TwoKinds(partition())
    correction = CleanBias(model, gamma=GAMMA, alpha=ALPHA)
    for _ in range(epoch + 1):
        move(model, 0.1)
        correction.begin_epoch(batches, mean_loss)
    clean, seen = full_gradient(model, batches.showing("raw")), full_gradient(model, batches)
    move(model)  # the term stays that of the epoch's start
    raw = gradients(model, batches, mean_loss)
    found = gradients(model, batches, mean_loss, correction)
    weight = GAMMA * (1 - (1 - ALPHA) ** epoch)
    assert (clean - seen).abs().max() > 1e-3
    torch.testing.assert_close(found, raw + weight * (clean - seen), rtol=0, atol=1e-14)


def test_it_is_the_mean_of_what_a_bsr_adds() -> None:
    model, batches = smooth_network(), TwoKinds(partition())
    one = AGC(model, gamma=GAMMA, alpha=ALPHA, variant="a-bsr")
    other = CleanBias(model, gamma=GAMMA, alpha=ALPHA)
    for _ in range(4):
        move(model, 0.1)
        one.begin_epoch(batches.showing("raw"), mean_loss)
        other.begin_epoch(batches, mean_loss)
        assert other.coefficient == pytest.approx(one.coefficient, abs=1e-15)
    move(model)
    published, bias = (gradients(model, batches, mean_loss, each) for each in (one, other))
    torch.testing.assert_close(published.mean(dim=0), bias.mean(dim=0), rtol=0, atol=1e-14)
    spread = (bias - gradients(model, batches, mean_loss)).std(dim=0)
    assert spread.max() < 1e-14  # the same for every batch: it reduces no variance
    assert (published - bias).abs().max() > 1e-3


def test_both_passes_have_the_same_images_in_the_same_batches() -> None:
    run = build(tiny("clean-bias", objective=ATTACKED, training={"augmentation": {"crop": 0}}))
    seen = DataPass(run, 3)
    pairs = list(zip(seen, seen.showing("raw"), strict=True))
    assert len(pairs) == len(run.loader)
    for attacked, stored in pairs:
        assert torch.equal(attacked.clean, stored.images)
        assert torch.equal(attacked.labels, stored.labels)
        assert attacked.noise == stored.noise
        assert not torch.equal(attacked.images, stored.images)


@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
def test_the_first_epoch_is_plain_and_the_second_is_not(objective: str) -> None:
    runs = [
        build(tiny(name, objective=objective_named(objective))) for name in ("none", "clean-bias")
    ]
    for (epoch, plain), (_, losses) in zip(*map(train, runs), strict=True):
        alike = same([*result(runs[0]), plain], [*result(runs[1]), losses])
        assert alike is (epoch == 1), f"epoch {epoch}"


def test_without_attack_and_augmentation_there_is_nothing_to_add() -> None:
    unchanged = {"augmentation": {"crop": 0, "flip": False}}
    _, plain = trained(tiny("none", training=unchanged))
    _, found = trained(tiny("clean-bias", training=unchanged))
    assert same(found, plain)


def test_before_the_first_epoch_there_is_nothing_to_correct_by() -> None:
    with pytest.raises(RuntimeError, match="before begin_epoch"):
        CleanBias(smooth_network()).correct(partition()[0], mean_loss)
    with pytest.raises(ValueError, match="no batches"):
        CleanBias(smooth_network()).begin_epoch([], mean_loss)
