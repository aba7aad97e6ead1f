"""What every gradient correction costs: counted units against declared ones, in every method."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from agc import rng
from agc.grids.cell import Cell
from agc.planning.declared import units_per_epoch
from agc.registry import CORRECTIONS, OBJECTIVES
from agc.training.build import build
from agc.training.loop import train
from tests.support.correction_cells import STEPS, objective_named, tiny, trained

NAMES = CORRECTIONS.names()


def first_steps_missing(cell: Cell) -> float:
    """Units by which a whole run differs from the declared ones, and where they are."""
    name, epochs = cell.correction.name, cell.training.epochs
    if name == "agc-running":
        return -3.0  # the first epoch has no mean yet: it is plain
    if name == "storm" or (name == "mars" and cell.correction.options["exact"]):
        return -3.0 / STEPS  # the first step has no step before
    if name == "l-svrg":  # declared in expectation; the first step renews in any case
        expected = cell.correction.options["refreshes"]
        coins = [
            torch.rand((), generator=rng.generator(cell.seed, name, step=step)).item()
            for step in range(STEPS * epochs)
        ]
        renewed = [s for s, coin in enumerate(coins) if s == 0 or coin < expected / STEPS]
        prepare = OBJECTIVES[cell.objective.name].target.preparation(**cell.objective.options)
        return (len(renewed) - epochs * expected) * (3 + prepare.units)
    return 0.0


@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
@pytest.mark.parametrize("name", NAMES)
def test_counted_units_are_the_declared_ones(
    tiny_cell: Callable, name: str, objective: str
) -> None:
    cell = tiny(tiny_cell, name, objective=objective_named(objective, steps=2), seed=2)
    run = build(cell)
    images = run.loader.images_per_epoch
    counted = [run.meter.units(images) for _ in train(run)]
    declared = units_per_epoch(cell)
    assert len(run.loader) == STEPS
    assert counted[-1] == 2 * declared + first_steps_missing(cell)
    if name != "l-svrg":  # what is missing is missing in the first epoch
        assert counted[1] - counted[0] == declared


def test_declared_costs_are_finite_and_not_negative() -> None:
    for name in NAMES:
        cost = CORRECTIONS[name].target.cost(**CORRECTIONS.resolve(name, {}))
        for value in (cost.step, cost.snapshot, cost.prepared_pass, cost.tensors):
            assert math.isfinite(value)
            assert value >= 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "precision"),
    [("dense", "float32"), ("static", "float32"), ("rigl", "bfloat16")],
)
def test_it_works_with_every_method_and_precision(
    tiny_cell: Callable, name: str, method: str, precision: str
) -> None:
    cell = tiny(tiny_cell, name, method=method, training={"precision": precision})
    run, _ = trained(cell)
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert run.ledger.updates == (2 if method == "rigl" else 0)
    expected = 2 * units_per_epoch(cell) + first_steps_missing(cell)
    assert run.meter.units(run.loader.images_per_epoch) == expected
    assert run.method.sparsity() == pytest.approx(cell.sparsity, abs=1e-3)
    for key, value in run.correction.diagnostics().items():
        assert isinstance(value, float), key
        assert math.isfinite(value), key
