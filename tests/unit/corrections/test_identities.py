"""Entries of the axis that are special cases of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from agc import AGC
from agc.corrections.base import Correction
from agc.corrections.svrg import SVRG
from agc.registry import CORRECTIONS
from tests.support.agc_problems import mean_loss, partition, smooth_network
from tests.support.correction_problems import (
    flat,
    follow,
)

COUNT = 5  # batches of the partition


def trajectory(make_correction: Callable[[nn.Module], Correction], epochs: int = 3) -> torch.Tensor:
    model, batches = smooth_network(), partition()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
    return follow(model, make_correction(model), batches, mean_loss, optimizer, epochs)


def entry(name: str, **options: Any) -> Callable[[nn.Module], Correction]:
    return lambda model: CORRECTIONS.create(name, model, options=options, seed=0, epochs=3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (entry("alpha-svrg", alpha=1.0, schedule="constant"), SVRG),
        (entry("constant", c=1.0), SVRG),
        (entry("constant", c=0.3), lambda m: AGC(m, gamma=0.3, tau0=1.0, alpha=0.0)),
        (entry("constant", c=0.3), entry("agc", gamma=0.3, tau0=0.0, clip=(1.0, 1.0))),
        (entry("scsg", batches=COUNT, interval=COUNT), SVRG),
        (entry("agc", full_gradient="subset", subset=1.0), AGC),
    ],
    ids=[
        "alpha-svrg at 1 is svrg",
        "constant at 1 is svrg",
        "constant is agc with its estimate switched off",
        "constant is agc with its estimate clipped to 1",
        "scsg with full mega-batches once an epoch is svrg",
        "agc with a subset of all batches is agc",
    ],
)
def test_two_entries_are_the_same_to_the_bit(one: Any, other: Any) -> None:
    found, expected = trajectory(one), trajectory(other)
    assert torch.equal(found, expected)
    assert not torch.equal(found, trajectory(entry("none")))


def test_l_svrg_with_a_refresh_at_each_step_is_gradient_descent() -> None:
    found = trajectory(entry("l-svrg", refreshes=float(COUNT)))
    model, batches = smooth_network(), partition()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
    for row in found:
        optimizer.zero_grad()
        for batch in batches:
            (mean_loss(model, batch) / COUNT).backward()
        optimizer.step()
        torch.testing.assert_close(flat(model.parameters()), row, rtol=0, atol=1e-13)
