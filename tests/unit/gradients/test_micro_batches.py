"""Gradient accumulation: several batches, one corrected step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from agc import SVRG, GroupedBatches, MicroBatches
from agc.gradients.micro_batches import parts
from tests.support.library_problems import (
    NAMES,
    Everything,
    Samples,
    batches,
    corrected,
    flat,
    loss_fn,
    make,
    sentences,
    smooth,
    train,
)


def split(batch: Samples, count: int) -> MicroBatches:
    pairs = zip(batch.features.chunk(count), batch.labels.chunk(count), strict=True)
    return MicroBatches(tuple(pairs), batch.index)


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_train_as_their_union_does(name: str) -> None:
    whole = batches(size=12)
    results = []
    for passes in (whole, [split(batch, 3) for batch in whole]):
        model = smooth()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        train(model, optimizer, make(name, model), [passes] * 3)
        results.append(flat(model.parameters()))
    # A last bit decides here and there how a record is rounded to half precision.
    tolerance = 1e-5 if name == "agc-recorded" else 1e-12
    torch.testing.assert_close(*results, rtol=0, atol=tolerance)


@pytest.mark.parametrize("estimator", ["loss", "gradient", "layer", "online"])
def test_tau_of_micro_batches_is_that_of_their_union(estimator: str) -> None:
    whole = batches(size=12)
    results = []
    for passes in (whole, [split(batch, 4) for batch in whole]):
        model = smooth()
        correction = make("agc", model, estimator=estimator)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), correction, [passes] * 3)
        results.append(correction.tau)
    assert results[1] == pytest.approx(results[0], rel=1e-9)
    assert results[0] != 0.1


def test_one_graph_is_held_at_a_time() -> None:
    graphs: list[int] = []
    alive = 0

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            nonlocal alive
            alive += 1
            graphs.append(alive)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            nonlocal alive
            alive -= 1
            return gradient

    def watched(model: nn.Module, batch: Any) -> torch.Tensor:
        return Watched.apply(loss_fn(model, batch))

    model, group = smooth(), MicroBatches(tuple(batches()))
    correction = SVRG(model)
    correction.begin_epoch([group], watched)
    loss_fn(model, group.batches[0]).backward()
    correction.correct(group, watched)
    assert graphs == [1] * 8


def test_dropout_of_each_micro_batch_is_replayed() -> None:
    model, data = Everything(rate=0.5), sentences(count=8)
    groups = GroupedBatches(data, 3)
    correction = SVRG(model)
    correction.begin_epoch(groups, loss_fn)
    for group in [*groups, *groups]:
        model.zero_grad()
        for batch in group:
            loss_fn(model, batch).backward()
        older = correction.reference_gradient(group, loss_fn)
        for name, gradient in correction.gradients().items():
            torch.testing.assert_close(older[name] * len(group), gradient, rtol=0, atol=1e-6)


def test_a_loader_is_grouped() -> None:
    groups = GroupedBatches(list("abcdefg"), 3)
    assert len(groups) == 3
    for _ in range(2):
        assert [group.batches for group in groups] == [(*"abc",), (*"def",), ("g",)]
    assert [len(group) for group in groups] == [3, 3, 1]
    assert parts("ab") == ("ab",)
    with pytest.raises(ValueError, match="size 0 of a group"):
        GroupedBatches([], 0)


def test_records_need_to_know_which_batch_it_is() -> None:
    from agc.errors import UserError

    model, data = smooth(), batches()
    correction = make("agc-recorded", model)
    correction.begin_epoch(data, loss_fn)
    for batch in ((*data[0][:2],), [*data[0][:2]], MicroBatches(tuple(data))):
        with pytest.raises(UserError, match="batches with an index"):
            correction.correct(batch, loss_fn)
    assert corrected(model, correction, data[0], loss_fn).isfinite().all()
