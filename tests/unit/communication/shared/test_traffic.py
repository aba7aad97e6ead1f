"""Bits by formula: those of messages, of errors that are averaged, of passes and of growth."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agc import SVRG, RigL, Static, Step
from agc.compressors.base import make_compressor
from agc.conformance.optimizers import batches, loss_fn, network
from agc.methods.base import SparseMethod
from agc.registry import COMMUNICATION

DATA = batches()
STEPS = 6


def trained(
    name: str, kind: type[SparseMethod] | None = None, corrected: bool = False, **options: Any
) -> Step:
    model = network()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)
    more = {"update_interval": 4, "total_steps": 100} if kind is RigL else {}
    sparse = None if kind is None else kind(model, optimizer, sparsity=0.5, **more)
    communication = COMMUNICATION.create(name, model, optimizer, options=options, seed=0)
    parts = (model, optimizer, loss_fn, sparse, SVRG(model) if corrected else None)
    step = Step(*parts, communication=communication)
    step.begin_epoch(DATA)
    for batch in DATA[:STEPS]:
        step(batch)
    return step


def sizes(step: Step) -> list[int]:
    """Active coordinates of what trains."""
    masks = step.sparse.masks
    found = {n: p.numel() for n, p in step.model.named_parameters() if p.requires_grad}
    return [int(masks[name].sum()) if name in masks else size for name, size in found.items()]


def test_plain_numbers_travel_both_ways() -> None:
    step = trained("all-reduce")
    plain = 32 * sum(sizes(step)) * STEPS
    assert step.communication.traffic() == {"bits_up": plain, "bits_down": plain}
    sparse = trained("all-reduce", Static)
    assert sum(sizes(sparse)) < sum(sizes(step))
    assert sparse.communication.traffic()["bits_up"] == 32 * sum(sizes(sparse)) * STEPS


@pytest.mark.parametrize(
    ("name", "ratio"), [("sign", None), ("top-k", 0.1), ("random-k", 0.2), ("identity", None)]
)
@pytest.mark.parametrize("two_way", [False, True])
def test_messages_are_those_of_the_compressor(
    name: str, ratio: float | None, two_way: bool
) -> None:
    step = trained("saef", Static, compressor=name, ratio=ratio, two_way=two_way)
    compressor = make_compressor(name, ratio, 0)
    up = compressor.bits(sizes(step))
    down = up if two_way else compressor.bits_of_mean(sizes(step), 4)
    found = step.communication.traffic()
    assert found == {"bits_up": up * STEPS, "bits_down": down * STEPS}


def test_errors_that_are_averaged_travel_as_they_are() -> None:
    plain, averaged = (trained("ef", Static, average=period) for period in (0, 2))
    before, after = (step.communication.traffic() for step in (plain, averaged))
    more = 32 * sum(sizes(plain)) * (STEPS // 2)
    assert after == {key: bits + more for key, bits in before.items()}


def test_the_gradient_that_growth_looks_at_travels_whole() -> None:
    step, static = trained("all-reduce", RigL), trained("all-reduce", Static)
    whole = 32 * sum(mask.numel() for mask in step.sparse.masks.values())
    assert step.sparse.dense_gradients == 1
    assert step.communication.traffic() == {
        key: bits + whole for key, bits in static.communication.traffic().items()
    }


def test_the_mean_of_a_correction_s_pass_travels_whole() -> None:
    plain, corrected = trained("ef"), trained("ef", corrected=True)
    whole = 32 * sum(p.numel() for p in plain.model.parameters() if p.requires_grad)
    before, after = (step.communication.traffic() for step in (plain, corrected))
    assert after == {key: bits + whole for key, bits in before.items()}


def test_counts_outlive_a_resume() -> None:
    step = trained("ef")
    other = trained("ef")
    other.communication.load_state_dict(step.communication.state_dict())
    assert other.communication.traffic() == step.communication.traffic()
    assert Step(network(), step.optimizer, loss_fn).communication.traffic() == {}
