"""What a step that fails leaves: everything where it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import Step
from agc.conformance import method_problem
from agc.conformance.method_problem import STEPS, Problem
from agc.registry import METHODS
from tests.support.library_problems import (
    batches,
    flat,
    loss_fn,
    make,
    smooth,
)
from tests.support.states import assert_same, leaves

METHOD_NAMES = METHODS.names()
DATA = batches()


class Fails(Exception):
    pass


def failing(model: nn.Module, batch: Any) -> Tensor:
    """A loss whose backward pass fails."""
    value = method_problem.loss_fn(model, batch)

    def fail(gradient: Tensor) -> None:
        raise Fails

    value.register_hook(fail)
    return value


@pytest.mark.parametrize("name", METHOD_NAMES)
@pytest.mark.parametrize("place", ["backward", "correction", "optimizer"])
def test_what_fails_leaves_the_method_where_it_was(
    name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, same = Problem(name), Problem(name)
    for one in (problem, same):
        one.begin()
        assert len(list(one.steps(0, 3))) == 3

    def fail(*_: Any) -> None:
        raise Fails

    def state() -> list[Any]:
        kept = (problem.method.masks, getattr(problem.method, "hidden", {}), problem.method.steps)
        return list(leaves([*kept, list(problem.model.parameters())]))

    before = state()
    with monkeypatch.context() as patch:
        if place == "backward":
            patch.setattr(problem.step, "loss_fn", failing)
        elif place == "correction":
            patch.setattr(problem.step.correction, "correct", fail)
        else:
            patch.setattr(problem.optimizer, "step", fail)
        with pytest.raises(Fails):
            problem.step(problem.batches[3])
    assert_same(state(), before)
    if place == "backward":  # before anything was counted: the step may be made after all
        same.model.load_state_dict(problem.model.state_dict())
        assert list(problem.steps(3)) == list(same.steps(3))
        assert_same(list(problem.model.parameters()), list(same.model.parameters()))
    else:
        assert len(list(problem.steps(3))) == STEPS - 3


@pytest.mark.parametrize("name", ["sam", "s2-sam", "extragradient"])
def test_what_fails_at_another_point_comes_back(name: str) -> None:
    model = smooth()
    correction = make(name, model)
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, None, correction)
    step.begin_epoch(DATA)
    step(DATA[0])
    home = flat(model.parameters())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        if not torch.equal(flat(model.parameters()), home):
            raise Fails
        return loss_fn(model, batch)

    step.loss_fn = loss
    with pytest.raises(Fails):
        step(DATA[1])
    assert torch.equal(flat(model.parameters()), home)
