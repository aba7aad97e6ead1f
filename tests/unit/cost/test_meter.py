from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from agc.cost.meter import Meter
from agc.evaluation.clean import evaluate_clean
from agc.training.build import build


def test_what_an_evaluation_costs_is_no_training_cost(tiny_cell: Callable) -> None:
    run = build(tiny_cell())
    with run.meter.pause():
        evaluate_clean(run.model, run.validation)
    assert run.meter == Meter()
    evaluate_clean(run.model, run.validation)
    assert run.meter == Meter(forward=len(run.validation))


def test_building_a_run_costs_nothing(tiny_cell: Callable) -> None:
    assert build(tiny_cell(method="rigl", sparsity=0.9)).meter == Meter()


def test_a_pause_ends_with_an_error_too() -> None:
    meter = Meter()

    def fail() -> None:
        with meter.pause():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not meter.paused


def test_passes_are_told_apart() -> None:
    meter, model = Meter(), nn.Linear(3, 2)
    meter.watch(model)
    with torch.no_grad():
        model(torch.zeros(5, 3))
    assert meter == Meter(forward=5)
    model(torch.zeros(7, 3)).sum().backward()
    assert meter == Meter(forward=12, backward=7)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.autograd.grad(model(inputs := torch.ones(2, 3, requires_grad=True)).sum(), inputs)
    assert meter == Meter(forward=14, backward=7, input_backward=2)
    assert meter.units(images_per_epoch=2) == (14 + 2 * 9) / 2
    restored = Meter()
    restored.load_state_dict(meter.state_dict())
    assert restored == meter


def test_passes_that_the_model_was_not_called_for_can_be_added() -> None:
    meter = Meter(forward=3)
    before = meter.counts()
    meter.add({"forward": 4, "cell_vjps": 2})
    after = meter.counts()
    assert {name: n - before[name] for name, n in after.items() if n != before[name]} == {
        "forward": 4,
        "cell_vjps": 2,
    }
    assert set(after) == set(meter.state_dict()) - {"paused", "processes", "pass_calls"}
