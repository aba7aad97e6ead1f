"""Equilibrium networks stay contractions while methods mask them and optimizers move them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.architectures.shared.equilibrium import LIMIT, Equilibrium, equilibrium_of
from agc.cost.meter import Meter
from agc.errors import UserError
from agc.evaluation.fixed_points import TOLERANCE, fixed_points
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records.record import CELL_COSTS, EQUILIBRIUM_KEYS
from agc.runs.train import CellRun
from agc.training.build import build
from agc.training.loop import train
from agc.training.observer import Observer
from agc.training.run import Run

ROUNDING = 1e-6
"""Of single precision, in a norm of about 1."""

METHODS = {
    "static": {},
    "set": {"update_interval": 2},
    "rigl": {"update_interval": 2},
    "gmp": {},
    "snip": {},
    "synflow": {},
    "n:m": {},
    "top-kast": {"update_interval": 2},
}


@pytest.fixture
def cell(tiny_cell: Callable[..., Cell]) -> Callable[..., Cell]:
    def make(**fields: Any) -> Cell:
        architecture = {"name": "deq_tiny", "options": {"width": 24, **fields.pop("network", {})}}
        return tiny_cell(architecture=architecture, **fields)

    return make


def sparse(cell: Callable[..., Cell], method: str, **fields: Any) -> Cell:
    entry = {"name": method, "options": METHODS[method]}
    return cell(method=entry, sparsity=0.75, **fields)


class Norms(Observer):
    """The cell's norm after each step, and whether the topology has changed."""

    def __init__(self, run: Run) -> None:
        self.network = equilibrium_of(run.model)
        self.method = run.method
        self.found: list[float] = []
        self.changes = 0

    def stepped(self, changed: bool) -> None:
        self.found.append(self.network.cell.norm().item())
        self.changes += changed
        for name, mask in self.method.masks.items():
            assert not self.method.parameters[name][~mask].any(), name


def norms_of(made: Cell) -> Norms:
    run = build(made)
    norms = Norms(run)
    run.step.observers.append(norms)
    for _ in train(run):
        pass
    assert run.step.contracting == [norms.network]
    return norms


@pytest.mark.parametrize("method", METHODS)
def test_each_step_ends_with_a_contraction_and_exact_zeros(
    method: str, cell: Callable[..., Cell]
) -> None:
    norms = norms_of(sparse(cell, method))
    assert len(norms.found) == 8
    assert max(norms.found) <= LIMIT * (1 + ROUNDING)
    if METHODS[method]:
        assert norms.changes


@pytest.mark.parametrize("correction", ["agc", "storm", "sam", "extragradient"])
def test_corrections_leave_it_one(correction: str, cell: Callable[..., Cell]) -> None:
    norms = norms_of(sparse(cell, "rigl", correction=correction))
    assert max(norms.found) <= LIMIT * (1 + ROUNDING)


def test_without_the_projection_it_is_none(
    cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Equilibrium, "keep_contraction", lambda self: None)
    assert max(norms_of(cell()).found) > 1


def test_a_method_that_masks_before_the_first_step_leaves_a_contraction(
    cell: Callable[..., Cell],
) -> None:
    run = build(sparse(cell, "snip"))
    network = equilibrium_of(run.model)
    with torch.no_grad():
        network.cell.state.weight.mul_(3)
    run.step.begin(list(run.loader.epoch(1)))
    assert network.cell.norm() <= LIMIT * (1 + ROUNDING)


def test_grasp_finds_no_second_derivative(cell: Callable[..., Cell]) -> None:
    run = build(cell(method="grasp", sparsity=0.5))
    with pytest.raises(
        UserError, match="grasp needs second derivatives, and this network has none"
    ):
        next(train(run))


def test_solved_as_well_as_is_said(cell: Callable[..., Cell]) -> None:
    run = build(cell())
    network, row = equilibrium_of(run.model), fixed_points(run)
    x = (run.validation.images.float() / 255 - run.model.mean) / run.model.std
    with torch.no_grad():
        injected, states = network.inject(x), [network.rest(x)]
        for _ in range(network.calls):
            states.append(network.cell(states[-1], injected))
    gaps = [(after - before).norm(dim=1) / after.norm(dim=1) for before, after in pairwise(states)]
    assert row["residual"] == pytest.approx(gaps[-1].mean().item(), rel=1e-3)
    first = torch.stack([gap < TOLERANCE for gap in gaps]).float().argmax(dim=0) + 1
    assert row["iterations"] == pytest.approx(first.float().mean().item())
    assert row["unconverged"] == 0
    assert row["contraction"] == pytest.approx(LIMIT, rel=ROUNDING)


def test_images_that_are_not_solved_are_counted(cell: Callable[..., Cell]) -> None:
    run = build(cell(network={"calls": 2}))
    row = fixed_points(run)
    assert row["unconverged"] == len(run.validation)
    assert row["iterations"] == 2
    assert row["residual"] > TOLERANCE


def test_other_networks_have_no_such_columns(tiny_cell: Callable[..., Cell]) -> None:
    run = build(tiny_cell())
    assert fixed_points(run) == {}
    assert run.step.contracting == []


def test_a_killed_training_goes_on_with_the_same_bits(
    cell: Callable[..., Cell], machine: Machine, tmp_path: Path
) -> None:
    made = sparse(cell, "rigl", correction="agc", training={"epochs": 3})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert CellRun(made, whole, machine).train() == "finished"

    def kill(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CellRun(made, parts, machine, checkpoint_interval=0, on_epoch=kill).train()
    assert CellRun(made, parts, machine, checkpoint_interval=0).train() == "finished"
    for name in ("epochs.csv", "model.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    with (whole / "epochs.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert float(last["contraction"]) <= LIMIT * (1 + ROUNDING)
    assert {*EQUILIBRIUM_KEYS, *CELL_COSTS} <= {*last}
    shutil.rmtree(parts)


def test_calls_and_products_are_counted_and_units_are_those_of_passes(
    cell: Callable[..., Cell],
) -> None:
    run = build(cell(network={"calls": 6}))
    for _ in train(run):
        pass
    images = 2 * 4 * 64
    # A backward pass calls the cell once more.
    assert (run.meter.cell_calls, run.meter.cell_vjps) == (7 * images, 6 * images)
    assert run.meter.units(images) == 3
    assert (run.meter.forward, run.meter.backward) == (images, images)


def test_a_call_beside_the_passes_is_its_part_of_one(cell: Callable[..., Cell]) -> None:
    run, meter = build(cell(network={"calls": 5})), Meter()
    meter.watch(run.model)
    batch = next(iter(run.loader.epoch(1)))
    images = batch.images.clone().requires_grad_(True)
    state = equilibrium_of(run.model).rest(images)
    following, _ = run.model(images, state)
    torch.autograd.grad(following.sum(), images)
    assert (meter.single_calls, meter.single_vjps) == (64, 64)
    assert (meter.cell_calls, meter.cell_vjps, meter.forward) == (64, 64, 0)
    assert meter.units(64) == pytest.approx(3 / 5)
    restored = Meter()
    restored.load_state_dict(meter.state_dict())
    assert restored == meter
