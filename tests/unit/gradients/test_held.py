"""Parameters that took another's place are noticed; what keeps them is let be."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from agc import AGC, RigL, Step
from agc.gradients.held import HeldParameters
from tests.support.library_problems import batches, loss_fn, smooth


def network() -> nn.Module:
    return nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
            "head": nn.Linear(4, 2),
        }
    )


def load_in_their_place(model: nn.Module) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)


def new_head(model: nn.Module) -> None:
    model["head"] = nn.Linear(4, 3)


def new_body(model: nn.Module) -> None:
    model["body"] = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def new_weight(model: nn.Module) -> None:
    model["head"].weight = nn.Parameter(torch.zeros(2, 4))


def no_bias(model: nn.Module) -> None:
    model["head"].bias = None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (load_in_their_place, "body.0.weight"),
        (new_head, "head.weight"),
        (new_body, "body.0.weight"),
        (new_weight, "head.weight"),
        (no_bias, "head.bias"),
    ],
)
def test_what_took_a_parameter_s_place_is_named(
    change: Callable[[nn.Module], None], name: str
) -> None:
    model = network()
    held = HeldParameters(model, model.parameters(), "RigL")
    held.check()
    change(model)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=f"parameter '{name}' .* make a new RigL") as error:
            held.check()
        assert "assign=True" in str(error.value)


def values(model: nn.Module) -> None:
    model.load_state_dict(network().state_dict())
    model.double()


def synchronised(model: nn.Module) -> None:
    nn.SyncBatchNorm.convert_sync_batchnorm(model)


def wrapped(model: nn.Module) -> None:
    model["head"] = nn.Sequential(model["head"])


def parametrised(model: nn.Module) -> None:
    register_parametrization(model["head"], "weight", nn.Tanh())


def lent(model: nn.Module) -> None:
    other = {name: torch.zeros_like(p) for name, p in model["head"].named_parameters()}
    torch.func.functional_call(model["head"], other, (torch.zeros(1, 4),))


def new_buffers(model: nn.Module) -> None:
    model["body"][1].running_mean = torch.ones(4)


@pytest.mark.parametrize("change", [values, synchronised, wrapped, parametrised, lent, new_buffers])
def test_a_parameter_that_stays_is_let_be(change: Callable[[nn.Module], None]) -> None:
    model = network()
    held = HeldParameters(model, model.parameters(), "RigL")
    change(model)
    for _ in range(2):
        held.check()
    model["head"] = nn.Linear(4, 2)
    with pytest.raises(RuntimeError, match="head"):
        held.check()


def test_a_step_with_a_new_head_raises_and_counts_for_nothing() -> None:
    model = smooth()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse = RigL(model, optimizer, sparsity=0.5, total_steps=8)
    step = Step(model, optimizer, loss_fn, sparse, AGC(model))
    data = batches()
    step.begin_epoch(data)
    step(data[0])
    model[2] = nn.Linear(8, 4).double()
    with pytest.raises(RuntimeError, match=r"parameter '2.weight' .* RigL"):
        step(data[1])
    assert sparse.steps == 1
    with pytest.raises(RuntimeError, match=r"parameter '2.weight' .* AGC"):
        step.begin_epoch(data)
