"""The forecast of a cell is of its own network, images, masks and schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agc.dynamics.forecast import Forecaster, network_of
from agc.dynamics.kept import Settings
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import train
from tests.conftest import CellMaker

START = {"file": "given", "digest": 64 * "0"}
FEW = Settings(images=16, size=512, paths=1)


@pytest.fixture(scope="module")
def given(tiny_cell: CellMaker) -> dict[str, Tensor]:
    """Weights that have learnt something."""
    run = build(tiny_cell(seed=3, training={"epochs": 8, "optimizer": {"lr": 0.1}}))
    for _ in train(run):
        pass
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def tuned(make: CellMaker, rate: float, **fields: Any) -> Cell:
    optimizer = {"lr": rate, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    training = {"start": START, "optimizer": optimizer, "epochs": 4}
    training |= {"batch_size": 16, "validation": 1437 - 4 * 16}
    return make(training={**training, **fields.pop("training", {})}, **fields)


def measured(cell: Cell, given: dict[str, Tensor]) -> list[float]:
    return [losses.mean().item() for _, losses in train(build(cell, start=given))]


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_a_short_way_is_predicted_as_it_is_gone(
    tiny_cell: CellMaker, given: dict[str, Tensor], sparsity: float
) -> None:
    # All images are one batch, unchanged: no noise, and nothing stands for anything else.
    whole = {"batch_size": 64, "validation": 1437 - 64, "augmentation": {}, "epochs": 6}
    cell = tuned(
        tiny_cell,
        2e-3,
        dataset={"name": "digits", "options": {"turn": 90}},
        method="static" if sparsity else "dense",
        sparsity=sparsity,
        training={**whole, "schedule": {"name": "constant"}},
    )
    found = Forecaster(Settings(images=64, size=20_000, paths=1)).predict(cell, given)
    course = measured(cell, given)
    assert (found.steps_per_epoch, found.refused) == (1, "")
    # The first loss is the network's own, the second one differs by the square of a step.
    assert found.initial == pytest.approx(course[0], rel=1e-5)
    first, whole_way = (
        [losses[0] - losses[at] for losses in (found.losses, course)] for at in (1, 5)
    )
    assert first[0] == pytest.approx(first[1], rel=0.02)
    assert whole_way[0] == pytest.approx(whole_way[1], rel=0.06)
    assert whole_way[1] > 5 * first[1]


def test_forecasts_are_the_same_alone_and_together(
    tiny_cell: CellMaker, given: dict[str, Tensor]
) -> None:
    cells = [tuned(tiny_cell, rate) for rate in (0.001, 0.004)]
    cells.append(tuned(tiny_cell, 0.001, training={"epochs": 2, "schedule": {"name": "constant"}}))
    assert len({network_of(cell) for cell in cells}) == 1
    together = Forecaster(FEW)
    for cell in cells:
        shared, alone = together.predict(cell, given), Forecaster(FEW).predict(cell, given)
        assert shared.losses == alone.losses
        assert len(shared.losses) == cell.training.epochs
    others = [
        tuned(tiny_cell, 0.001, seed=1),
        tuned(tiny_cell, 0.001, method="static", sparsity=0.5),
        tuned(tiny_cell, 0.001, training={"start": {**START, "head": "new"}}),
        tuned(tiny_cell, 0.001, dataset={"name": "digits", "options": {"turn": 90}}),
    ]
    assert len({network_of(cell) for cell in (*cells, *others)}) == 5


def test_a_rate_at_which_the_linear_net_diverges_gets_no_number(
    tiny_cell: CellMaker, given: dict[str, Tensor]
) -> None:
    found = Forecaster(FEW).predict(tuned(tiny_cell, 30.0), given)
    assert "diverges at a learning rate of 30" in found.refused
    assert found.losses == []


def test_a_network_that_draws_noise_and_what_is_outside_get_none(
    tiny_cell: CellMaker, given: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "drawn weights" in Forecaster(FEW).predict(tiny_cell(), None).refused
    monkeypatch.setattr("agc.dynamics.forecast.draws_noise", lambda model, images: True)
    assert "random numbers" in Forecaster(FEW).predict(tuned(tiny_cell, 0.001), given).refused


def test_the_schedule_of_the_cell_is_followed(
    tiny_cell: CellMaker, given: dict[str, Tensor]
) -> None:
    usual, late = (
        Forecaster(FEW).predict(tuned(tiny_cell, 0.004, training={"schedule": schedule}), given)
        for schedule in (
            {"name": "constant"},
            {"name": "step", "milestones": [0.5], "factor": 0.01},
        )
    )
    assert usual.losses[:2] == late.losses[:2]
    # At a hundredth of the rate momentum runs out, and the rest stands still.
    assert usual.losses[3] < late.losses[3]


def test_global_streams_neither_move_nor_matter(
    tiny_cell: CellMaker, given: dict[str, Tensor]
) -> None:
    cell, found = tuned(tiny_cell, 0.002), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(Forecaster(FEW).predict(cell, given).losses)
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]
