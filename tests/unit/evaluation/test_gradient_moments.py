"""Variances by recursion against their enumeration on a least-squares problem in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agc.evaluation.gradient_moments import Moments

NAMES = ["first", "second"]


class LeastSquares:
    """Two weight vectors of a linear regression, gradients in closed form, all batches at hand."""

    def __init__(self, masked: bool = False) -> None:
        random = np.random.default_rng(3)
        self.sizes = {"first": 5, "second": 7}
        self.x = random.normal(size=(11, 9, 12)) * np.linspace(0.2, 2, 12)
        self.y = random.normal(size=(11, 9))
        self.here, self.there = random.normal(size=(2, 12))
        self.mask = random.random(12) < (0.6 if masked else 2)
        self.mask_then = random.random(12) < (0.6 if masked else 2)

    def gradients(self, weights: np.ndarray) -> np.ndarray:
        """Mean gradient of each batch, [batch, weight]."""
        residual = self.x @ weights - self.y
        return np.einsum("bij,bi->bj", self.x, residual) / self.x.shape[1]

    def split(self, flat: np.ndarray) -> dict[str, torch.Tensor]:
        first, second = np.split(flat, [self.sizes["first"]])
        return {"first": torch.tensor(first), "second": torch.tensor(second)}

    def moments(self) -> Moments:
        moments = Moments(self.split(self.here), self.split(self.mask), self.split(self.mask_then))
        pairs = zip(self.gradients(self.here), self.gradients(self.there), strict=True)
        for now, then in pairs:
            moments.add(self.split(now), self.split(then))
        return moments

    def ratio(self, c: np.ndarray | float, where: np.ndarray) -> float:
        """Variance of g + c (u - q) over that of g, by enumeration."""
        g, q = self.gradients(self.here), self.gradients(self.there)
        corrected = g + c * (q.mean(axis=0) - q)
        return (corrected.var(axis=0)[where].sum()) / g.var(axis=0)[where].sum()


@pytest.mark.parametrize("region", ["active", "all"])
@pytest.mark.parametrize("c", [0.0, 0.07, 0.6, 1.0, 2.5])
def test_the_ratio_is_that_of_enumeration_and_of_the_formula(region: str, c: float) -> None:
    problem = LeastSquares(masked=True)
    where = problem.mask if region == "active" else np.ones(12, dtype=bool)
    found = problem.moments().ratios(region, dict.fromkeys(NAMES, c))
    rho, s = found["correlation"], found["scale"]
    assert found["ratio_used"] == pytest.approx(problem.ratio(c, where), rel=1e-12)
    assert found["ratio_used"] == pytest.approx(1 - 2 * c * rho * s + c**2 * s**2, rel=1e-12)
    assert found["ratio_one"] == pytest.approx(problem.ratio(1.0, where), rel=1e-12)
    assert 0.05 < abs(rho) < 0.99


def test_the_best_coefficients_minimise_the_enumerated_variance() -> None:
    problem = LeastSquares(masked=True)
    found = problem.moments().ratios("active", None)
    assert found["ratio_used"] is None
    best = found["best_coefficient"]
    assert problem.ratio(best, problem.mask) == pytest.approx(found["ratio_best"], rel=1e-12)
    for other in (best - 0.01, best + 0.01):
        assert problem.ratio(other, problem.mask) > found["ratio_best"]
    assert found["ratio_best"] == pytest.approx(1 - found["correlation"] ** 2, rel=1e-12)

    def by_tensor(first: float, second: float) -> float:
        return problem.ratio(np.array([first] * 5 + [second] * 7), problem.mask)

    g, q = problem.gradients(problem.here), problem.gradients(problem.there)
    covariance = ((g - g.mean(axis=0)) * (q - q.mean(axis=0))).mean(axis=0)
    parts = [np.arange(12) < 5, np.arange(12) >= 5]
    fitted = [
        covariance[part & problem.mask].sum() / q.var(axis=0)[part & problem.mask].sum()
        for part in parts
    ]
    assert by_tensor(*fitted) == pytest.approx(found["ratio_layer"], rel=1e-12)
    assert found["ratio_layer"] < found["ratio_best"] - 1e-3
    for step in (-0.01, 0.01):
        assert by_tensor(fitted[0] + step, fitted[1]) > found["ratio_layer"]
        assert by_tensor(fitted[0], fitted[1] + step) > found["ratio_layer"]


@pytest.mark.parametrize("biased", [False, True])
def test_shares_of_the_correction_are_those_of_enumeration(biased: bool) -> None:
    problem = LeastSquares(masked=True)
    q = problem.gradients(problem.there)
    mean = q.mean(axis=0) + (0.5 * np.arange(12) if biased else 0)
    squares = ((mean - q) ** 2).sum(axis=0)
    found = problem.moments().shares(problem.split(mean) if biased else None)
    grown = problem.mask & ~problem.mask_then
    assert 0 < grown.sum() < problem.mask.sum()
    assert found["pruned_share"] == pytest.approx(squares[~problem.mask].sum() / squares.sum())
    assert found["grown_share"] == pytest.approx(squares[grown].sum() / squares.sum())


def test_at_the_snapshot_itself_nothing_is_left_at_one() -> None:
    problem = LeastSquares()
    problem.there = problem.here
    found = problem.moments().ratios("all", dict.fromkeys(NAMES, 0.5))
    assert found["ratio_one"] == pytest.approx(0, abs=1e-12)
    assert found["ratio_used"] == pytest.approx(0.25)
    assert found["correlation"] == found["scale"] == found["best_coefficient"] == pytest.approx(1)
