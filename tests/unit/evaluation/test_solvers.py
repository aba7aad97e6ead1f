"""Robust accuracy by the stronger of two solvers, and what each of them spends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.evaluation import solvers
from agc.evaluation.robust import Attacked, evaluate_robust
from agc.evaluation.solvers import JIIO_ITERATIONS, PGD_STEPS, attack_course
from agc.files import read_json
from agc.grids.cell import Cell
from agc.grids.settings import Evaluation
from agc.machine.device import Machine
from agc.records.read import read_record
from agc.reports.collect import collect
from agc.reports.solvers import fixed_points as told
from agc.reports.solvers import solver_runs
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run
from tests.support.command_line import agc

CALLS = 8
ATTACK = {"norm": "l2", "epsilon": 0.6, "step_size": 0.15, "steps": 3, "jiio": 20}
DEQ = {"name": "deq_tiny", "options": {"width": 24, "calls": CALLS}}


@pytest.fixture(scope="module")
def cell(tiny_cell: Callable[..., Cell]) -> Cell:
    return tiny_cell(architecture=DEQ, evaluation=ATTACK, training={"epochs": 3})


@pytest.fixture(scope="module")
def run(cell: Cell) -> Run:
    made = build(cell)
    for _ in train(made):
        pass
    return made


def attacked_with(run: Run, **settings: Any) -> Attacked:
    return evaluate_robust(run.model, run.test, Evaluation(**{**ATTACK, **settings}), 0)


def test_an_image_is_robust_if_it_stands_both(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    both = attacked_with(run)
    one = {
        "pgd": both.measures["robust_accuracy_pgd"],
        "jiio": both.measures["robust_accuracy_jiio"],
    }
    together = both.measures["robust_accuracy"]
    assert together <= min(one.values())
    assert both.held.double().mean().item() == together
    # A short PGD leaves what JIIO fells.
    assert together < one["pgd"]
    monkeypatch.setattr(solvers, "equilibrium_of", lambda model: None)
    alone = attacked_with(run)
    assert alone.measures["robust_accuracy"] == one["pgd"]
    assert "robust_accuracy_jiio" not in alone.measures


def test_some_images_alone_are_asked(run: Run) -> None:
    found = attacked_with(run, images=40)
    assert found.asked.sum() == 40
    assert not found.held[~found.asked].any()
    assert found.measures["robust_accuracy_jiio"] == pytest.approx(
        round(40 * found.measures["robust_accuracy_jiio"]) / 40
    )


def test_what_each_budget_spends_is_counted(run: Run) -> None:
    before = [p.detach().clone() for p in run.model.parameters()]
    counted = run.meter.cell_calls
    with run.meter.pause():
        rows = attack_course(run.model, run.test, Evaluation(**ATTACK), 0)
    assert run.meter.cell_calls == counted
    assert all(map(torch.equal, before, run.model.parameters()))
    budgets = [(row["solver"], row["steps"]) for row in rows]
    assert budgets == [("pgd", n) for n in PGD_STEPS] + [("jiio", n) for n in JIIO_ITERATIONS]
    for row in rows:
        calls = row["steps"] * ((CALLS + 1) if row["solver"] == "pgd" else 1)
        products = row["steps"] * (CALLS if row["solver"] == "pgd" else 1)
        assert (row["cell_calls"], row["cell_vjps"]) == (calls, products)
    by = dict(zip(budgets, rows, strict=True))
    assert by["pgd", 50]["loss"] > by["pgd", 2]["loss"]
    assert by["jiio", 80]["loss"] > by["jiio", 10]["loss"]


def test_a_cell_is_evaluated_recorded_and_collected(
    cell: Cell, machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / cell.slug
    cell.write(folder)
    assert CellRun(cell, folder, machine).train() == "finished"
    assert evaluate_cell(folder, machine) == "evaluated"
    record = read_record(folder)
    final = record["results"]["final"]
    assert len(final["solvers"]) == len(PGD_STEPS) + len(JIIO_ITERATIONS)
    assert final["robust_accuracy"] <= final["robust_accuracy_jiio"]
    assert final["contraction"] <= 0.95 * (1 + 1e-6)
    assert record["costs"]["cell_calls"] > 0
    collect([folder], tmp_path / "tables")
    import pandas as pd

    records = pd.read_parquet(tmp_path / "tables" / "records.parquet")
    assert len(solver_runs(records)) == len(final["solvers"])
    (arm,) = told(records).to_dict("records")
    assert arm["robust_accuracy_jiio"] == pytest.approx(final["robust_accuracy_jiio"])
    assert arm["residual"] == pytest.approx(final["residual"])
    _attacks_on_demand(folder)


def _attacks_on_demand(folder: Path) -> None:
    outcome = agc("evaluate", folder, "--attacks", "jiio,pgd-20", "--set", "jiio.steps=20")
    assert outcome.code == 0, outcome
    final = read_json(folder / "record.json")["results"]["final"]
    attacks = {name: found["accuracy"] for name, found in final["attacks"].items()}
    assert attacks["jiio"] == pytest.approx(final["robust_accuracy_jiio"])
    (worst,) = final["worst_case"]
    assert worst["attacks"] == ["jiio", "pgd-20"]
    assert worst["accuracy"] <= min(attacks.values())


def test_other_networks_are_refused_by_name(
    tiny_cell: Callable[..., Cell], machine: Machine, tmp_path: Path
) -> None:
    cell = tiny_cell(training={"epochs": 1})
    folder = tmp_path / cell.slug
    cell.write(folder)
    CellRun(cell, folder, machine).train()
    outcome = agc("evaluate", folder, "--attacks", "jiio")
    assert outcome.code == 2
    reason = "attack 'jiio': it attacks equilibrium networks, and resnet8 is none"
    assert reason in outcome.message


def test_iterations_make_no_other_cell_of_another_network(
    tiny_cell: Callable[..., Cell],
) -> None:
    assert tiny_cell(evaluation={"jiio": 20}).slug == tiny_cell().slug
    one, other = (tiny_cell(architecture=DEQ, evaluation={"jiio": n}) for n in (20, 80))
    assert one.slug != other.slug
    assert other.slug == tiny_cell(architecture=DEQ).slug
