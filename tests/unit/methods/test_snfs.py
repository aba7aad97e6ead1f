from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from agc import rng
from agc.conformance.method_problem import Problem
from agc.methods.snfs import SNFS, share_out


class Oracle:
    """Sparse momentum written down in NumPy, one flat array for each layer."""

    def __init__(self, weights: list[np.ndarray], masks: list[np.ndarray]) -> None:
        self.weights, self.masks = weights, masks
        self.momentum = [np.zeros_like(weight) for weight in weights]
        self.overflows = 0

    def step(self, gradients: list[np.ndarray]) -> None:
        for i, (mask, gradient) in enumerate(zip(self.masks, gradients, strict=True)):
            self.momentum[i] = 0.9 * self.momentum[i] + 0.1 * gradient
            self.weights[i] = (self.weights[i] - 0.01 * gradient) * mask

    def update(self, rate: float) -> None:
        means = [np.abs(m[k]).mean() for m, k in zip(self.momentum, self.masks, strict=True)]
        shares = [mean / sum(means) for mean in means]
        dropped = []
        for weight, mask, share in zip(self.weights, self.masks, shares, strict=True):
            sparsity, active = 1 - mask.mean(), mask.sum()
            near_dense = sparsity < 0.2 and share > 1 / len(shares)
            count = min(
                math.ceil((min(rate, sparsity) if near_dense else rate) * active), active - 1
            )
            order = np.argsort(np.where(mask, np.abs(weight), np.inf), kind="stable")
            mask[order[:count]] = False
            dropped.append(count)
        wanted = [share * sum(dropped) for share in shares]
        room = [int((~mask).sum()) for mask in self.masks]
        grown = [math.floor(w) for w in wanted]
        for i in np.argsort([g - w for g, w in zip(grown, wanted, strict=True)], kind="stable"):
            if sum(grown) < sum(dropped):
                grown[i] += 1
        for full, other in ((0, 1), (1, 0)):  # what one of two layers cannot take, the other gets
            if wanted[full] >= room[full]:
                grown[full], grown[other] = room[full], sum(dropped) - room[full]
                self.overflows += 1
        for weight, mask, m, count in zip(
            self.weights, self.masks, self.momentum, grown, strict=True
        ):
            order = np.argsort(-np.where(mask, -np.inf, np.abs(m)), kind="stable")
            mask[order[:count]] = True
            weight[~mask] = 0


def test_masks_follow_an_oracle() -> None:
    with rng.isolated(7):
        model = nn.Sequential(nn.Linear(12, 10, bias=False), nn.Linear(10, 3, bias=False)).double()
    method = SNFS(
        model,
        torch.optim.SGD(model.parameters(), lr=0.01),
        sparsity=0.6,
        distribution={"1": 0.1},
        total_steps=40,
        update_interval=4,
    )
    flat = [p.detach().numpy().reshape(-1).copy() for p in model.parameters()]
    masks = [mask.numpy().reshape(-1).copy() for mask in method.masks.values()]
    oracle = Oracle(flat, masks)
    counts, generator = [], rng.generator(3, "gradients")
    for step in range(1, 40):
        for scale, parameter in zip(
            (1.0, 3.0 if step < 20 else 0.3), model.parameters(), strict=True
        ):
            draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = scale * draws
        oracle.step([p.grad.numpy().reshape(-1) for p in model.parameters()])
        method.observe()
        method.optimizer.step()
        changed = method.advance()
        if step % 4 == 0:
            assert changed
            oracle.update(0.005 + 0.495 / 2 * (1 + math.cos(math.pi * step / 40)))
        for mine, theirs in zip(method.masks.values(), oracle.masks, strict=True):
            assert np.array_equal(mine.numpy().reshape(-1), theirs)
        for mine, theirs in zip(method.smoothed.values(), oracle.momentum, strict=True):
            np.testing.assert_allclose(mine.numpy().reshape(-1), theirs, rtol=1e-12)
        counts.append(tuple(method.active().values()))
    assert method.dense_gradients == 39
    assert 0 < oracle.overflows < 9
    # Weights have moved between the layers, and their total is what it was.
    assert len(set(counts)) > 1
    assert len({sum(pair) for pair in counts}) == 1


def test_layers_of_a_network_exchange_weights_and_keep_the_total() -> None:
    problem = Problem("snfs")
    before = problem.method.active()
    for _ in problem.steps():
        assert sum(problem.method.active().values()) == sum(before.values())
        assert min(problem.method.active().values()) >= 1
    assert problem.method.active() != before


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1e-9, 0.1, 0.5, 3.0]), st.integers(0, 20)),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_shares_are_whole_fit_and_sum_to_the_total(layers: list, data: st.DataObject) -> None:
    shares = {str(i): share for i, (share, _) in enumerate(layers)}
    room = {str(i): n for i, (_, n) in enumerate(layers)}
    total = data.draw(st.integers(0, sum(room.values())))
    given_ = share_out(total, shares, room)
    assert sum(given_.values()) == total
    assert all(0 <= given_[name] <= room[name] for name in room)
    wanted = {n: total * shares[n] / (sum(shares.values()) or 1) for n in shares}
    if sum(shares.values()) and all(wanted[n] <= room[n] for n in room):
        assert all(abs(given_[n] - wanted[n]) <= 1 for n in room)


def test_what_a_full_layer_cannot_take_goes_to_the_others_in_proportion() -> None:
    shares = {"a": 0.6, "b": 0.3, "c": 0.1}
    assert share_out(20, shares, {"a": 4, "b": 100, "c": 100}) == {"a": 4, "b": 12, "c": 4}
    assert share_out(5, dict.fromkeys("ab", 0.0), {"a": 2, "b": 8}) == {"a": 1, "b": 4}


def test_without_momentum_layers_share_alike() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    method = SNFS(model, None, sparsity=0.5, total_steps=10)
    assert method.shares([*method.masks]) == pytest.approx({"0.weight": 0.5, "1.weight": 0.5})
