"""Losses of the objectives against formulas written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import rng
from agc.datasets.shared.loader import Batch
from agc.errors import UserError
from agc.objectives.base import Objective
from agc.registry import OBJECTIVES

SIZE, CLASSES = 10, 4


class Table(nn.Module):
    """A network whose logits are its weights times the pixels: no batch statistics, no noise."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = rng.generator(seed, "weights")
        self.weight = nn.Parameter(
            3 * torch.randn(CLASSES, 9, generator=generator, dtype=torch.float64)
        )

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


def prepared(seed: int) -> Batch:
    generator = rng.generator(seed, "batch")
    clean = torch.rand(SIZE, 1, 3, 3, generator=generator, dtype=torch.float64)
    moved = torch.rand(SIZE, 1, 3, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES, (SIZE,), generator=generator)
    return Batch(moved, labels, clean=clean)


def logarithms(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities of clean and of adversarial images, [N, K], and labels."""
    model, batch = Table(seed), prepared(seed)
    with torch.no_grad():
        clean, moved = model(batch.clean).numpy(), model(batch.images).numpy()
    return log_softmax(clean, axis=1), log_softmax(moved, axis=1), batch.labels.numpy()


def smoothed(logs: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    target = np.full((SIZE, CLASSES), smoothing / CLASSES)
    target[np.arange(SIZE), labels] += 1 - smoothing
    return -(target * logs).sum(axis=1).mean()


def kl(reference: np.ndarray, logs: np.ndarray) -> np.ndarray:
    return (np.exp(reference) * (reference - logs)).sum(axis=1)


def trades_oracle(seed: int, beta: float, smoothing: float) -> float:
    clean, moved, labels = logarithms(seed)
    return smoothed(clean, labels, smoothing) + beta * kl(clean, moved).mean()


def mart_oracle(seed: int, beta: float, smoothing: float) -> float:
    clean, moved, labels = logarithms(seed)
    pairs = zip(moved, labels, strict=True)
    wrong = np.array([max(np.exp(row[k]) for k in range(CLASSES) if k != y) for row, y in pairs])
    margin = -np.log(1.0001 - wrong).mean()
    right = np.exp(clean[np.arange(SIZE), labels])
    weighted = (kl(clean, moved) * (1 - right)).mean()
    return smoothed(moved, labels, smoothing) + margin + beta * weighted


def loss(name: str, seed: int, batch: Batch | None = None, **options: Any) -> float:
    objective: Objective = OBJECTIVES.create(name, options=options)
    return objective.loss(Table(seed), batch or prepared(seed)).item()


@pytest.mark.parametrize(
    ("name", "oracle"), [("trades", trades_oracle), ("rst", trades_oracle), ("mart", mart_oracle)]
)
@given(seed=st.integers(0, 50), beta=st.floats(0, 20), smoothing=st.floats(0, 0.9))
def test_the_loss_is_the_formula(
    name: str, oracle: Callable, seed: int, beta: float, smoothing: float
) -> None:
    found = loss(name, seed, beta=beta, label_smoothing=smoothing)
    assert found == pytest.approx(oracle(seed, beta, smoothing), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["standard", "pgd-at", "mixed-at", "fast-at", "free-at"])
@given(seed=st.integers(0, 50), smoothing=st.floats(0, 0.9))
def test_cross_entropy_alone_is_that_of_the_images_given(
    name: str, seed: int, smoothing: float
) -> None:
    _, moved, labels = logarithms(seed)
    found = loss(name, seed, label_smoothing=smoothing)
    assert found == pytest.approx(smoothed(moved, labels, smoothing), rel=1e-9)


@given(
    seed=st.integers(0, 50), share=st.floats(0, 1, exclude_max=True), smoothing=st.floats(0, 0.9)
)
def test_a_clean_share_weighs_the_clean_images_of_the_same_batch(
    seed: int, share: float, smoothing: float
) -> None:
    clean, moved, labels = logarithms(seed)
    parts = smoothed(moved, labels, smoothing), smoothed(clean, labels, smoothing)
    found = loss("pgd-at", seed, clean_share=share, label_smoothing=smoothing)
    assert found == pytest.approx((1 - share) * parts[0] + share * parts[1], rel=1e-9)


def test_without_a_clean_share_the_clean_images_are_not_asked_for() -> None:
    batch = prepared(0)._replace(clean=None)
    assert loss("pgd-at", 0, batch, clean_share=0.0) == loss("standard", 0, batch)
    assert OBJECTIVES.resolve("pgd-at", {"clean_share": 0.0}) == OBJECTIVES.resolve("pgd-at", {})
    for bad in (-0.1, 1.0):
        with pytest.raises(UserError, match=f"option clean_share = {bad}"):
            loss("pgd-at", 0, clean_share=bad)


class Counts(nn.BatchNorm2d):
    """A normalisation that keeps the batch means it has seen."""

    def __init__(self) -> None:
        super().__init__(1, dtype=torch.float64)
        self.means: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        self.means.append(images.mean().item())
        return super().forward(images)


def test_clean_and_adversarial_images_have_batch_statistics_of_their_own() -> None:
    batch, norm = prepared(0), Counts()
    OBJECTIVES.create("pgd-at", options={"clean_share": 0.5}).loss(
        nn.Sequential(norm, Table(0)), batch
    )
    assert norm.means == [batch.clean.mean().item(), batch.images.mean().item()]


@given(seed=st.integers(0, 50))
def test_without_weight_trades_is_standard_training(seed: int) -> None:
    batch = prepared(seed)
    plain = loss("standard", seed, batch._replace(images=batch.clean))
    assert loss("trades", seed, beta=0) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("name", ["trades", "mart"])
@given(seed=st.integers(0, 50))
def test_images_that_did_not_move_have_no_divergence(name: str, seed: int) -> None:
    batch = prepared(seed)
    still = batch._replace(images=batch.clean)
    assert loss(name, seed, still, beta=100) == pytest.approx(
        loss(name, seed, still, beta=0), rel=1e-9
    )


@given(seed=st.integers(0, 50))
def test_the_divergence_of_mart_weighs_no_more_than_that_of_trades(seed: int) -> None:
    # 1 - p(y|x) is at most 1; TRADES' terms differ by the weight alone.
    mart = loss("mart", seed, beta=1) - loss("mart", seed, beta=0)
    trades = loss("trades", seed, beta=1) - loss("trades", seed, beta=0)
    assert 0 <= mart <= trades


def test_mart_stays_finite_where_the_network_is_certain_and_wrong() -> None:
    model = Table(0)
    with torch.no_grad():
        model.weight.mul_(1e4)
    batch = prepared(0)
    found = OBJECTIVES.create("mart", options={}).loss(model, batch)
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(model.weight.grad).all()


def test_the_attack_of_trades_raises_the_divergence_and_knows_no_label() -> None:
    objective = OBJECTIVES.create("trades", options={"epsilon": 0.1, "step_size": 0.03})
    model, given_batch = Table(1), prepared(1)._replace(clean=None)
    first = objective.prepare(model, given_batch, rng.generator(0, "attack"))
    other = given_batch._replace(labels=(given_batch.labels + 1) % CLASSES)
    again = objective.prepare(model, other, rng.generator(0, "attack"))
    assert torch.equal(first.images, again.images)
    with torch.no_grad():
        clean = log_softmax(model(first.clean).numpy(), axis=1)
        moved = log_softmax(model(first.images).numpy(), axis=1)
    assert kl(clean, moved).mean() > 0.01


def test_the_first_half_of_a_mixed_batch_is_attacked() -> None:
    objective = OBJECTIVES.create("mixed-at", options={"epsilon": 0.1, "step_size": 0.03})
    model, given_batch = Table(1), prepared(1)
    found = objective.prepare(model, given_batch, rng.generator(0, "attack"))
    half = SIZE // 2
    assert torch.equal(found.images[half:], given_batch.images[half:])
    moved = (found.images - given_batch.images)[:half].flatten(1).abs().amax(dim=1)
    assert torch.allclose(moved, torch.tensor(0.1, dtype=torch.float64), atol=1e-6)
    with torch.no_grad():
        before = cross_entropy(model(given_batch.images[:half]), given_batch.labels[:half])
        after = cross_entropy(model(found.images[:half]), given_batch.labels[:half])
    assert after > before
