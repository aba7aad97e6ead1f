"""Compiled networks: the older point runs the same code, and draws the same noise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from agc import AGC, SAM, SVRG, rng
from agc.corrections.base import Correction
from tests.support.library_problems import loss_fn, same

ROUNDING = 1e-6
"""Of gradients below 1 in single precision; with other noise they differ by 0.1 and more."""

Wrap = Callable[..., nn.Module]


def whole(model: nn.Module, **options: Any) -> nn.Module:
    return torch.compile(model, fullgraph=True, **options)


def in_place(model: nn.Module, **options: Any) -> nn.Module:
    model.compile(fullgraph=True, **options)
    return model


def forward_alone(model: nn.Module, **options: Any) -> nn.Module:
    model.forward = torch.compile(model.forward, fullgraph=True, **options)
    return model


WAYS: list[Wrap] = [whole, in_place, forward_alone]
INDUCTOR = pytest.param(
    "inductor",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
    ],
)


@pytest.fixture(autouse=True)
def afresh() -> None:
    torch._dynamo.reset()
    counters.clear()


def noisy() -> nn.Module:
    with rng.isolated(1):
        return nn.Sequential(
            nn.Linear(6, 16), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 4)
        )


def data() -> list[tuple[Tensor, Tensor]]:
    with rng.isolated(2):
        return [(torch.randn(8, 6), torch.randint(4, (8,))) for _ in range(4)]


def from_mean(correction: Correction) -> float:
    """How far the corrected gradient is from the mean, which it is at the snapshot."""
    gradients = correction.gradients().items()
    return max((g - correction.mean[name]).abs().max().item() for name, g in gradients)


@pytest.mark.parametrize("backend", ["eager", "aot_eager", INDUCTOR])
@pytest.mark.parametrize("way", WAYS)
def test_dropout_draws_the_same_masks_at_both_points(way: Wrap, backend: str) -> None:
    network = way(noisy(), backend=backend)
    correction, batches = SVRG(network), data()
    correction.begin_epoch(batches, loss_fn)
    for batch in batches:
        network.zero_grad()
        loss_fn(network, batch).backward()
        correction.correct(batch, loss_fn)
        assert from_mean(correction) < ROUNDING
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("backend", ["eager", "aot_eager", INDUCTOR])
def test_losses_at_both_points_are_of_the_same_noise(backend: str) -> None:
    """Those at the older point have no graph; at the snapshot itself they are equal."""
    network = whole(noisy(), backend=backend)
    correction, batches = AGC(network), data()
    seen: list[tuple[dict, dict]] = []
    correction.correlation.observe = lambda now, then: seen.append((now, then))
    correction.begin_epoch(batches, loss_fn)
    for now, then in seen:
        torch.testing.assert_close(now, then, rtol=ROUNDING, atol=0)
    assert len(seen) == len(batches)


def test_it_may_be_compiled_in_place_after_the_correction_is_made() -> None:
    network = noisy()
    correction, batches = SVRG(network), data()
    in_place(network, backend="eager")
    correction.begin_epoch(batches, loss_fn)
    loss_fn(network, batches[0]).backward()
    correction.correct(batches[0], loss_fn)
    assert from_mean(correction) < ROUNDING


def unnoticed(kind: str, network: nn.Module) -> Callable[[nn.Module, Any], Tensor]:
    """A training pass that the correction of ``network`` cannot see."""
    if kind == "another":
        outside = torch.compile(network, backend="eager")
        return lambda _, batch: loss_fn(outside, batch)
    if kind == "forward":
        return lambda model, batch: loss_fn(model.forward, batch)
    return torch.compile(loss_fn, backend="eager")


@pytest.mark.parametrize("kind", ["another", "forward", "loss"])
def test_noise_that_cannot_be_replayed_is_refused(kind: str) -> None:
    network, batches = noisy(), data()
    loss, correction = unnoticed(kind, network), SVRG(network)
    correction.begin_epoch(batches, loss)
    loss(network, batches[0]).backward()
    with pytest.raises(RuntimeError, match="has not noticed the training pass"):
        correction.correct(batches[0], loss)
    network.eval()  # nothing is drawn, and so there is nothing to replay
    correction.begin_epoch(batches, loss)
    network.zero_grad()
    loss(network, batches[0]).backward()
    correction.correct(batches[0], loss)
    assert from_mean(correction) < ROUNDING


@pytest.mark.parametrize("way", WAYS)
def test_a_correction_that_needs_no_older_point_compiles_nothing_anew(way: Wrap) -> None:
    plain, network = noisy(), way(noisy(), backend="eager")
    gradients = []
    for model in (plain, network):
        correction, batch = SAM(model, rho=0.5), data()[0]
        with rng.isolated(5), correction.point(batch, loss_fn):
            loss_fn(model, batch).backward()
        gradients.append(correction.gradients().values())
    assert same(*gradients)
    assert counters["stats"]["unique_graphs"] == 1


def test_half_precision_is_seen_around_what_is_compiled() -> None:
    network = whole(noisy(), backend="eager")
    correction, batches = SVRG(network), data()
    half = partial(torch.autocast, "cpu", torch.float16)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with half():
            return loss_fn(model, batch)

    correction.begin_epoch(batches, loss)
    assert correction.scale.half
