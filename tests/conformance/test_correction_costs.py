"""What corrections cost over a whole run, to the unit: counted against declared."""

from __future__ import annotations

import pytest
import torch

from agc import rng
from agc.conformance.correction_cells import (
    STEPS,
    counted,
    objective_named,
    run_with,
    tiny,
    trained,
)
from agc.conformance.corrections import OBJECTIVES, SETTINGS
from agc.grids.cell import Cell
from agc.planning.declared import units_per_epoch
from agc.registry import CORRECTIONS
from agc.registry import OBJECTIVES as ENTRIES
from agc.training.run import Run

NAMES = CORRECTIONS.names()

MISSING = {"agc-running": -3.0, "storm": -3.0 / STEPS, "mars": -3.0 / STEPS}
"""Units that a first epoch lacks which has no mean yet, or a first step that has none before."""


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_missing_in_the_first_epoch(name: str, objective: str) -> None:
    (first, both), declared = counted(name, objective)
    assert first == declared + MISSING.get(name, 0.0)
    assert both == 2 * declared + MISSING.get(name, 0.0)


def missing(cell: Cell) -> float:
    """Units by which two epochs differ from the declared ones."""
    if cell.correction.name != "l-svrg":
        return MISSING.get(cell.correction.name, 0.0)
    # Declared in expectation; the first step renews in any case.
    expected = cell.correction.options["refreshes"]
    coins = [
        torch.rand((), generator=rng.generator(cell.seed, "l-svrg", step=step)).item()
        for step in range(STEPS * cell.training.epochs)
    ]
    renewed = [s for s, coin in enumerate(coins) if s == 0 or coin < expected / STEPS]
    prepare = ENTRIES[cell.objective.name].target.preparation(**cell.objective.options)
    return (len(renewed) - cell.training.epochs * expected) * (3 + prepare.units)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_l_svrg_costs_what_its_coins_say(objective: str) -> None:
    cell = tiny("l-svrg", objective=objective_named(objective, steps=2), seed=2)
    whole_run_costs_what_is_declared(trained(cell)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("method", "precision"), SETTINGS)
def test_no_method_and_no_precision_changes_a_cost(name: str, method: str, precision: str) -> None:
    whole_run_costs_what_is_declared(run_with(name, method, precision))


def whole_run_costs_what_is_declared(run: Run) -> None:
    expected = 2 * units_per_epoch(run.cell) + missing(run.cell)
    assert run.meter.units(run.loader.images_per_epoch) == expected
