"""The coefficient of the gradient correction (AGC), estimated within the training pass."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agc import AGC, RunningAGC
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import flat, gradient, plain_gradients

ALPHA, TAU0, GAMMA, MEMORY = 0.3, 0.2, 0.8, 0.8
ESTIMATORS = ["gradient", "layer", "online"]


def layers(model: nn.Module) -> list[slice]:
    """Places of each tensor in the flat vector."""
    ends = np.cumsum([p.numel() for p in model.parameters()])
    return [slice(end - p.numel(), end) for end, p in zip(ends, model.parameters(), strict=True)]


class Oracle:
    """The three estimates in numpy, from their definitions: Σ <g - u, q - u> / Σ |q - u|²."""

    def __init__(self, estimator: str, parts: list[slice]) -> None:
        self.estimator = estimator
        self.parts = parts
        self.tau = np.full(len(parts), TAU0)
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def coefficients(self, size: int) -> np.ndarray:
        found = np.empty(size)
        for part, tau in zip(self.parts, self.tau, strict=True):
            found[part] = GAMMA * tau
        return found

    def observe(self, g: np.ndarray, q: np.ndarray, u: np.ndarray) -> None:
        self.seen.append((g - u, q - u))
        if self.estimator == "online":
            self.tau = self._estimate(MEMORY)

    def end_epoch(self) -> None:
        if self.estimator == "online":
            self.tau = np.ones(len(self.parts))
            self.seen = []
        if not self.seen:
            return
        self.tau = (1 - ALPHA) * self.tau + ALPHA * self._estimate(1.0)
        self.seen = []

    def _estimate(self, memory: float) -> np.ndarray:
        weights = memory ** np.arange(len(self.seen))[::-1]
        table = np.array(
            [
                [
                    sum(w * (g[p] @ d[p]) for w, (g, d) in zip(weights, self.seen, strict=True)),
                    sum(w * (d[p] @ d[p]) for w, (_, d) in zip(weights, self.seen, strict=True)),
                ]
                for p in self.parts
            ]
        )
        if self.estimator == "gradient":
            table = np.broadcast_to(table.sum(axis=0), table.shape)
        return table[:, 0] / table[:, 1]


def make(model: nn.Module, estimator: str, **options: Any) -> AGC:
    return AGC(model, gamma=GAMMA, alpha=ALPHA, tau0=TAU0, estimator=estimator, **options)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_corrected_gradient_is_that_of_the_oracle(estimator: str) -> None:
    batches, model = partition(), smooth_network()
    correction, oracle = make(model, estimator), Oracle(estimator, layers(model))
    seen = set()
    for _ in range(3):
        correction.begin_epoch(batches, mean_loss)
        oracle.end_epoch()
        snapshot = plain_gradients(model, flat(model.parameters()), batches, mean_loss)
        u = snapshot.mean(axis=0)
        for batch, q in zip(batches, snapshot, strict=True):
            g = gradient(model, batch, mean_loss).numpy()
            c = oracle.coefficients(len(g))
            found = gradient(model, batch, mean_loss, correction).numpy()
            np.testing.assert_allclose(found, g + c * (u - q), rtol=0, atol=1e-7)
            oracle.observe(g, q, u)
            if estimator == "online" or batch is batches[0]:
                assert correction.tau == pytest.approx(oracle.tau.mean(), abs=1e-7)
            seen.add(round(float(c[0]), 9))
            move(model, 0.05)
        assert correction.coefficient == pytest.approx(GAMMA * oracle.tau.mean(), abs=1e-7)
    # τ moves at each epoch's end, or at each step but the first two, where g is q, then was q.
    assert len(seen) == (3 * (len(batches) - 2) + 1 if estimator == "online" else 3)


@pytest.mark.parametrize("estimator", ["loss", *ESTIMATORS])
def test_the_coefficient_of_a_step_does_not_know_its_gradient(estimator: str) -> None:
    batches, model = partition(), smooth_network()
    correction = make(model, estimator)
    for _ in range(2):
        correction.begin_epoch(batches, mean_loss)
        for batch in batches[:3]:
            gradient(model, batch, mean_loss, correction)
            move(model, 0.05)
    added = []
    for scale in (1.0, -50.0):
        state = copy.deepcopy(correction.state_dict())
        model.zero_grad()
        mean_loss(model, batches[3]).backward()
        for parameter in model.parameters():
            parameter.grad.mul_(scale)
        raw = flat(p.grad for p in model.parameters())
        correction.correct(batches[3], mean_loss)
        added.append(flat(p.grad for p in model.parameters()) - raw)
        correction.load_state_dict(state)
    assert added[0].abs().max() > 1e-3
    torch.testing.assert_close(added[0], added[1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("estimator", ["loss", *ESTIMATORS])
@pytest.mark.parametrize("clip", [(0.0, 0.05), (3.0, 4.0)])
def test_tau_stays_within_its_bounds(estimator: str, clip: tuple[float, float]) -> None:
    batches, model = partition(), smooth_network()
    correction, free = make(model, estimator, clip=clip), make(model, estimator)
    for _ in range(3):
        for agc in (correction, free):
            agc.begin_epoch(batches, mean_loss)
            for batch in batches:
                gradient(model, batch, mean_loss, agc)
        move(model, 0.1)
    assert clip[0] - 1e-9 <= correction.tau <= clip[1] + 1e-9
    assert not clip[0] <= free.tau <= clip[1]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_where_the_reference_gradient_never_differs_tau_stays(estimator: str) -> None:
    batches, model = partition()[:1] * 3, smooth_network()
    correction = make(model, estimator)
    for _ in range(2):
        correction.begin_epoch(batches, mean_loss)
        # The mean of equal gradients may be off by the last bit.
        correction.mean = dict(
            zip(
                correction.mean,
                torch.autograd.grad(mean_loss(model, batches[0]), list(model.parameters())),
                strict=True,
            )
        )
        for batch in batches:
            gradient(model, batch, mean_loss, correction)
    kept = 1.0 if estimator == "online" else TAU0
    assert correction.tau == pytest.approx(kept, abs=1e-7)


@pytest.mark.parametrize(("subset", "count"), [(0.2, 1), (0.5, 3), (0.7, 4), (1.0, 5)])
def test_the_mean_of_a_subset_is_that_of_its_batches(subset: float, count: int) -> None:
    batches, model = partition(), smooth_network()
    correction = make(model, "layer", full_gradient="subset", subset=subset)
    prepared = []

    class Lazy:
        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Any:
            for index, batch in enumerate(batches):
                prepared.append(index)
                yield batch

    correction.begin_epoch(Lazy(), mean_loss)
    assert prepared == list(range(count))  # no attack is run for batches that are not used
    rows = plain_gradients(model, flat(model.parameters()), batches[:count], mean_loss)
    found = flat(correction.mean.values()).numpy()
    np.testing.assert_allclose(found, rows.mean(axis=0), rtol=0, atol=1e-15)


def test_the_running_mean_is_that_of_the_last_epochs_gradients() -> None:
    batches, model = partition(), smooth_network()
    correction = RunningAGC(model, gamma=GAMMA, alpha=ALPHA, estimator="gradient")
    before: list[np.ndarray] = []
    for epoch in range(3):
        correction.begin_epoch(batches, mean_loss)
        snapshot = flat(model.parameters())
        seen = []
        for batch in batches:
            g = gradient(model, batch, mean_loss).numpy()
            found = gradient(model, batch, mean_loss, correction).numpy()
            if epoch == 0:
                np.testing.assert_array_equal(found, g)
            else:
                q = plain_gradients(model, snapshot, [batch], mean_loss)[0]
                expected = g + correction.coefficient * (np.mean(before, axis=0) - q)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
            seen.append(g)
            move(model, 0.05)
        before = seen
