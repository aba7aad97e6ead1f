from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from agc import rng
from agc.evaluation.calibration import BINS, calibration


def drawn(seed: int, count: int = 200, classes: int = 5, scale: float = 2.0):
    generator = rng.generator(seed, "logits")
    logits = scale * torch.randn(count, classes, generator=generator)
    return logits, torch.randint(classes, (count,), generator=generator)


def by_hand(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Calibration error and Brier score, bin by bin and image by image."""
    probabilities = softmax(logits.double().numpy(), axis=1)
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    error = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        if inside.any():
            accuracy = (predicted == labels.numpy())[inside].mean()
            error += inside.mean() * abs(accuracy - confidence[inside].mean())
    brier = ((probabilities - np.eye(logits.shape[1])[labels.numpy()]) ** 2).sum(axis=1).mean()
    return error, brier


@given(seed=st.integers(0, 100), scale=st.floats(0, 20))
def test_the_scores_are_those_of_their_definitions(seed: int, scale: float) -> None:
    logits, labels = drawn(seed, scale=scale)
    # In which of two bins a confidence at their border falls, the last bit decides.
    border = BINS * softmax(logits.double().numpy(), axis=1).max(axis=1)
    assume((np.abs(border - border.round()) > 1e-9)[border < BINS - 0.5].all())
    found = calibration(logits, labels)
    error, brier = by_hand(logits, labels)
    assert found["calibration_error"] == pytest.approx(error, abs=1e-12)
    assert found["brier_score"] == pytest.approx(brier, abs=1e-12)
    likelihood = log_softmax(logits.double().numpy(), axis=1)[range(len(labels)), labels]
    assert found["negative_log_likelihood"] == pytest.approx(-likelihood.mean(), rel=1e-12)


def test_certain_and_right_or_wrong_are_the_extremes() -> None:
    labels = torch.arange(4)
    sure = 1e3 * torch.eye(4)
    best = calibration(sure, labels)
    assert list(best.values()) == [0, 0, 0]
    worst = calibration(sure, (labels + 1) % 4)
    assert worst["calibration_error"] == 1
    assert worst["brier_score"] == 2
    assert worst["negative_log_likelihood"] == 1000


def test_a_network_that_knows_nothing_and_says_so_is_calibrated() -> None:
    labels = torch.arange(100) % 4
    found = calibration(torch.zeros(100, 4), labels)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-12)
    assert found["brier_score"] == pytest.approx(0.75)
    assert found["negative_log_likelihood"] == pytest.approx(np.log(4))
