"""Adversarial training whose attack and fixed point are one iteration."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agc import rng
from agc.attacks.shared.joint_attack import attack_jointly
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.machine.device import Machine
from agc.planning.declared import units
from agc.records.result import costs
from agc.registry import OBJECTIVES
from agc.runs.train import CellRun
from agc.training.build import build
from agc.training.loop import train

DEQ = {"name": "deq_tiny", "options": {"width": 24, "calls": 8}}
ATTACK = {"solver": "jiio", "norm": "l2", "epsilon": 0.6, "step_size": 0.36, "steps": 12}


@pytest.fixture
def cell(tiny_cell: Callable[..., Cell]) -> Callable[..., Cell]:
    def make(objective: str = "pgd-at", **fields: Any) -> Cell:
        entry = {"name": objective, "options": ATTACK | fields.pop("attack", {})}
        return tiny_cell(architecture=DEQ, objective=entry, **fields)

    return make


def test_pgd_is_the_default_and_leaves_no_trace() -> None:
    for name in ("pgd-at", "mixed-at", "trades", "mart", "rst"):
        assert OBJECTIVES.resolve(name, {"solver": "pgd", "history": 1}) == OBJECTIVES.resolve(
            name, {}
        )
    assert OBJECTIVES.resolve("pgd-at", {"solver": "jiio"})["solver"] == "jiio"


def test_a_batch_is_attacked_jointly_from_the_images(cell: Callable[..., Cell]) -> None:
    run = build(cell())
    batch = next(iter(run.loader.epoch(1)))
    prepared = run.objective.prepare(run.model, batch, rng.generator(0, "attack"))
    names = ("epsilon", "step_size", "norm")
    settings = {name: ATTACK[name] for name in names} | {"iterations": ATTACK["steps"]}
    expected = attack_jointly(run.model, batch.images, batch.labels, **settings)
    assert torch.equal(prepared.images, expected.images)
    assert torch.equal(prepared.clean, batch.images)
    other = run.objective.prepare(run.model, batch, rng.generator(1, "attack"))
    assert torch.equal(other.images, prepared.images)


def test_half_of_a_mixed_batch_is_attacked(cell: Callable[..., Cell]) -> None:
    run = build(cell("mixed-at"))
    batch = next(iter(run.loader.epoch(1)))
    prepared = run.objective.prepare(run.model, batch, rng.generator(0, "attack"))
    changed = (prepared.images != batch.images).flatten(1).any(dim=1)
    assert changed[:32].all()
    assert not changed[32:].any()


def test_the_outcomes_of_an_epoch_are_told_once(cell: Callable[..., Cell]) -> None:
    run = build(cell())
    assert run.objective.diagnostics() == {}
    unconverged = []
    for batch in run.loader.epoch(1):
        run.objective.prepare(run.model, batch, rng.generator(0, "attack"))
        settings = {name: ATTACK[name] for name in ("epsilon", "step_size", "norm")}
        found = attack_jointly(run.model, batch.images, batch.labels, iterations=12, **settings)
        unconverged.append((~found.converged).double().mean())
    told = run.objective.diagnostics()
    assert told["attack_unconverged"] == torch.stack(unconverged).mean()
    assert told["attack_failed"] == 0
    assert run.objective.diagnostics() == {}


@pytest.mark.parametrize("objective", ["pgd-at", "mixed-at", "mart"])
@pytest.mark.parametrize("correction", ["none", "agc"])
def test_units_are_those_that_are_declared(
    objective: str, correction: str, cell: Callable[..., Cell]
) -> None:
    made = cell(objective, correction=correction)
    run = build(made)
    for _ in train(run):
        pass
    assert run.meter.units(run.loader.images_per_epoch) == pytest.approx(units(made))
    half = 0.5 if objective == "mixed-at" else 1
    passes = {"none": 1, "agc": 2}[correction]  # the correction's pass is attacked, too
    images = 2 * run.loader.images_per_epoch
    assert run.meter.single_calls == passes * half * ATTACK["steps"] * images
    assert run.meter.single_vjps == run.meter.single_calls
    assert run.meter.cell_calls > run.meter.single_calls
    row = {"units": 1.0, "flops": 1.0, "cell_calls": 5, "cell_vjps": 3}
    told = costs(run, [row, row])
    assert (told["cell_calls"], told["cell_vjps"]) == (5, 3)
    plain = {"pgd-at": 3 + 2 * 1.5, "mixed-at": 3 + 1.5, "mart": 6 + 3}[objective]
    flops = plain * run.flops.forward() * images
    assert told["dense_training_flops"] == pytest.approx(flops)


def test_a_killed_training_goes_on_with_the_same_bits(
    cell: Callable[..., Cell], machine: Machine, tmp_path: Path
) -> None:
    fields = {"method": {"name": "rigl", "options": {"update_interval": 2}}, "sparsity": 0.8}
    made = cell(**fields, correction="agc", training={"epochs": 3})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert CellRun(made, whole, machine).train() == "finished"

    def kill(row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CellRun(made, parts, machine, checkpoint_interval=0, on_epoch=kill).train()
    assert CellRun(made, parts, machine, checkpoint_interval=0).train() == "finished"
    for name in ("epochs.csv", "model.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    with (whole / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["attack_unconverged"]) <= 1 for row in rows)
    assert [float(row["attack_failed"]) for row in rows] == [0, 0, 0]
    calls = [int(row["cell_calls"]) for row in rows]
    assert calls[0] < calls[1] < calls[2]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "resnet8"}, "attacks equilibrium networks, and resnet8 is none"),
        (
            {"objective": {"name": "trades", "options": ATTACK}},
            "raises the cross-entropy of labels",
        ),
        ({"objective": {"name": "rst", "options": ATTACK}}, "raises the cross-entropy of labels"),
        ({"objective": {"name": "pgd-at", "options": {"solver": "newton"}}}, "option solver"),
        ({"objective": {"name": "free-at", "options": {"solver": "jiio"}}}, "unknown option"),
    ],
)
def test_what_it_cannot_attack_is_refused(changes: dict[str, Any], reason: str) -> None:
    fields = {
        "dataset": "digits",
        "architecture": "deq_tiny",
        "objective": {"name": "pgd-at", "options": ATTACK},
    }
    make_cell(fields)
    with pytest.raises(UserError, match=reason):
        make_cell(fields | changes)
