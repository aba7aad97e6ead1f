"""Diagnostics of gradient corrections: what is measured, and that the training never notices."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from agc.evaluation.diagnostics import PERCENTS, Watched, diagnose, relative_distance
from agc.gradients.reference import ReferencePoint
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run

RIGL = {"name": "rigl", "options": {"update_interval": 3, "end_fraction": 1.0}}
FAST = {"update_interval": 1, "end_fraction": 1.0, "drop_schedule": "constant"}
SPARSE = {"method": RIGL, "sparsity": 0.9}
ATTACK = {"name": "pgd-at", "options": {"steps": 2, "epsilon": 0.1, "step_size": 0.05}}


def test_the_distance_is_relative_to_the_weights() -> None:
    model = torch.nn.Linear(1, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0], [0.0]]))
        model.bias.copy_(torch.tensor([0.0, 4.0]))
    other = ReferencePoint(model)
    with torch.no_grad():
        other.parameters["bias"].copy_(torch.tensor([0.0, 5.0]))
    assert relative_distance(model, other) == pytest.approx(0.2)


def outcome(run: Run) -> dict[str, Any]:
    """Train, and return all that a run leaves, bit by bit."""
    torch.manual_seed(5)
    losses = [loss for _, loss in train(run)]
    assert not run.meter.paused
    return {
        "losses": losses,
        "model": run.model.state_dict(),
        "gradients": [p.grad for p in run.model.parameters()],
        "modes": [module.training for module in run.model.modules()],
        "optimizer": run.optimizer.state_dict(),
        "method": run.method.state_dict(),
        "correction": run.correction.state_dict(),
        "diagnostics": run.correction.diagnostics(),
        "meter": run.meter.state_dict(),
        "random": torch.get_rng_state(),
    }


def assert_same(one: Any, other: Any) -> None:
    """Equal to the bit, however nested."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(
    "fields",
    [
        {"correction": "none"},
        {"correction": "agc", "objective": ATTACK},
        {"correction": {"name": "agc", "options": {"variant": "a-itop"}}},
        {"correction": {"name": "agc", "options": {"estimator": "online"}}},
        {"correction": "agc-running"},
        {"correction": "l-svrg"},
        {"correction": "scsg"},
        {"correction": "storm"},
        {"correction": "sam"},
        {"correction": "agc-recorded", "training": {"fixed_batches": True}},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_the_training_does_not_notice(fields: dict[str, Any], tiny_cell: Callable) -> None:
    cell = tiny_cell(**{**SPARSE, **fields})
    plain = outcome(build(cell))
    run = build(cell)
    watched = Watched(run, {1, 2}, batches=6)
    run.step.observers.append(watched)
    assert_same(plain, outcome(run))
    assert [(row["epoch"], row["percent"]) for row in watched.rows] == [
        (epoch, percent) for epoch in (1, 2) for percent in PERCENTS
    ]
    used = {row["ratio_used"] is None for row in watched.rows}
    assert used == {fields["correction"] in ("none", "sam", "agc-recorded")}
    assert all(math.isfinite(v) for row in watched.rows for v in row.values() if v is not None)


def test_nor_does_it_where_losses_draw_from_global_streams(tiny_cell: Callable) -> None:
    outcomes = []
    for epochs in (set(), {1, 2}):
        run = build(tiny_cell(**SPARSE))
        run.objective.loss = lambda model, batch: (
            torch.nn.functional.cross_entropy(model(batch.images), batch.labels) * torch.rand(())
        )
        watched = Watched(run, epochs, batches=3)
        run.step.observers.append(watched)
        outcomes.append(outcome(run))
        assert len(watched.rows) == 4 * len(epochs)
    assert_same(*outcomes)


@pytest.mark.parametrize("noise", ["drop_rate", "drop_path_rate"])  # a function, a module
def test_dropout_draws_the_same_noise_at_both_points(noise: str, tiny_cell: Callable) -> None:
    # The step is too short to move any weight: both gradients could differ by their noise alone.
    cell = tiny_cell(
        architecture={"name": "resnet18", "options": {noise: 0.5}},
        training={"epochs": 1, "optimizer": {"lr": 1e-60}, "batch_size": 8, "validation": 1429},
    )
    (*_, last), diverged = diagnose(cell, [1], batches=2)
    assert diverged is None
    assert last["distance"] == 0
    assert last["correlation"] == pytest.approx(1, abs=1e-6)


def followed(cell: Cell) -> tuple[Run, list[Any], list[Any]]:
    """A plain training, with weights and masks after each step."""
    run = build(cell)
    weights, masks = [], []

    def after_step() -> None:
        weights.append(copy.deepcopy(run.model.state_dict()))
        masks.append(copy.deepcopy(run.method.masks))

    list(train(run, after_step=after_step))
    return run, weights, masks


def batch_gradients(run: Run, weights: dict[str, torch.Tensor], epoch: int) -> torch.Tensor:
    """Those of the diagnosis' batches, [batch, weight]."""
    rows = []
    for batch in run.loader.epoch(epoch, "diagnostics"):
        run.model.load_state_dict(weights)
        run.model.zero_grad()
        torch.nn.functional.cross_entropy(run.model(batch.images), batch.labels).backward()
        rows.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]).double())
    return torch.stack(rows)


def distance(run: Run, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    names = [name for name, _ in run.model.named_parameters()]
    here, there = (torch.cat([state[name].flatten() for name in names]) for state in (one, other))
    return ((here - there).norm() / here.norm()).item()


def test_a_measurement_is_that_of_the_run_at_that_step(tiny_cell: Callable) -> None:
    cell = tiny_cell(correction={"name": "constant", "options": {"c": 0.3}}, **SPARSE)
    rows, _ = diagnose(cell, [2], batches=4)
    run, weights, masks = followed(cell)
    assert [row["step"] for row in rows] == [1, 1, 1, 4]
    for row, place in ((rows[0], 4), (rows[-1], 7)):
        g, q = (batch_gradients(run, weights[index], epoch=2) for index in (place, 3))
        active = torch.cat(
            [
                masks[place].get(name, torch.ones_like(p, dtype=torch.bool)).flatten()
                for name, p in run.model.named_parameters()
            ]
        )
        for suffix, where in (("", active), ("_all", torch.ones_like(active))):
            for key, c in (("ratio_used", 0.3), ("ratio_one", 1.0)):
                expected = (g - c * q).var(dim=0)[where].sum() / g.var(dim=0)[where].sum()
                assert row[key + suffix] == pytest.approx(expected.item(), rel=1e-4)
        assert row["distance"] == pytest.approx(distance(run, weights[place], weights[3]))
        assert row["mask_distance"] == sum(
            int((masks[place][name] != mask).sum()) for name, mask in masks[3].items()
        )
    assert rows[-1]["mask_distance"] > 0
    assert rows[-1]["grown_share"] > 0 == rows[0]["grown_share"]
    assert rows[0]["coefficient"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("correction", "renewed"),
    [
        ("none", 3),
        ("svrg", 3),
        ("storm", 6),  # at the last step's weights
        ({"name": "scsg", "options": {"batches": 2, "interval": 3}}, 5),  # after steps 3 and 6
        ({"name": "l-svrg", "options": {"refreshes": 4.0}}, 6),  # before every step
    ],
    ids=["none", "svrg", "storm", "scsg", "l-svrg"],
)
def test_the_snapshot_is_the_correction_s_own(
    correction: str | dict[str, Any], renewed: int, tiny_cell: Callable
) -> None:
    method = {"name": "rigl", "options": FAST}
    training = {"epochs": 3}
    cell = tiny_cell(correction=correction, method=method, sparsity=0.9, training=training)
    rows, _ = diagnose(cell, [2], batches=2)
    run, weights, masks = followed(cell)
    row = rows[-1]
    changed = sum(int((masks[7][n] != mask).sum()) for n, mask in masks[renewed].items())
    assert changed > 0
    assert row["mask_distance"] == changed
    if correction != "storm":  # which masks its last point anew
        assert row["distance"] == pytest.approx(distance(run, weights[7], weights[renewed]))


def test_a_training_that_diverges_ends_the_diagnosis(tiny_cell: Callable) -> None:
    cell = tiny_cell(training={"optimizer": {"lr": 1e9}})
    rows, diverged = diagnose(cell, [1, 2], batches=2)
    assert diverged == 1
    assert {row["epoch"] for row in rows} == {1}
