from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from agc import AGC


class Line(nn.Module):
    """One weight, so that each batch (a, b) has the loss a + w b."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))


def line_loss(model: nn.Module, batch: tuple[float, float]) -> Tensor:
    return batch[0] + model.weight * batch[1]


def tau_of(before: np.ndarray, now: np.ndarray, tau0: float = 0.1, alpha: float = 0.3) -> float:
    """τ after a pass with losses ``now`` at the weights and ``before`` at the snapshot."""
    model = Line()
    correction = AGC(model, alpha=alpha, tau0=tau0)
    batches = list(zip(before.tolist(), (now - before).tolist(), strict=True))
    correction.begin_epoch(batches, line_loss)
    correction.correlation.tau = tau0
    with torch.no_grad():
        model.weight.fill_(1.0)
    correction.begin_epoch(batches, line_loss)
    return correction.tau


LOSSES = st.lists(st.integers(-64, 64).map(lambda k: k / 8), min_size=8, max_size=8)


@given(LOSSES, LOSSES, st.integers(2, 8))
def test_tau_is_that_of_numpy(before: list[float], now: list[float], count: int) -> None:
    older, newer = np.array(before[:count]), np.array(now[:count])
    variance = np.var(older, ddof=1)
    found = tau_of(older, newer)
    if variance == 0:
        assert found == 0.1
    else:
        current = np.cov(newer, older, ddof=1)[0, 1] / variance
        assert found == pytest.approx(0.7 * 0.1 + 0.3 * current, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("slope", [-2.0, 0.0, 0.5, 3.0])
def test_tau_of_linear_losses_is_their_slope(slope: float) -> None:
    before = np.array([0.3, 1.7, 2.2, 0.9])
    assert tau_of(before, 5 + slope * before, alpha=1.0) == pytest.approx(slope, abs=1e-12)


@given(st.floats(1e-3, 1e3), st.integers(1, 12))
def test_losses_that_do_not_vary_leave_tau_alone(loss: float, count: int) -> None:
    before = np.full(count, loss)
    assert tau_of(before, np.linspace(1, 2, count)) == 0.1


def test_one_batch_leaves_tau_alone() -> None:
    assert tau_of(np.array([1.0]), np.array([2.0])) == 0.1


def test_tau_forgets_by_the_closed_form() -> None:
    # The losses w x_b have the ratio w_e / w_(e-1) as their slope.
    model, ratios = Line(1.0), [1.0, 0.5, 2.0, -1.0, 0.25]
    correction = AGC(model, gamma=0.2, alpha=0.3, tau0=0.1)
    batches = [(0.0, x) for x in (1.0, 2.0, 4.0)]
    for epoch, ratio in enumerate(ratios, start=1):
        with torch.no_grad():
            model.weight.mul_(ratio)
        correction.begin_epoch(batches, line_loss)
        past = [0.3 * 0.7 ** (epoch - k) * ratios[k - 1] for k in range(1, epoch + 1)]
        assert correction.tau == pytest.approx(0.7**epoch * 0.1 + sum(past), abs=1e-12)
        assert correction.coefficient == 0.2 * correction.tau
        assert correction.diagnostics() == {
            "tau": correction.tau,
            "coefficient": correction.coefficient,
        }
