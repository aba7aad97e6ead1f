"""The published settings, as far as this suite can say them, and grids of a known size."""

from __future__ import annotations

import itertools
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from agc.grids.cell import Cell
from agc.grids.grid import Grid, load_grid
from agc.grids.recipes import read_recipe
from agc.optimizers.base import make_optimizer
from agc.planning.declared import units
from agc.planning.prediction import estimate
from agc.training.schedule import make_schedule

SIZES = {
    # data sets × networks × (methods × sparsities × corrections + dense) × seeds
    "paper-itop": 2 * 3 * (2 * 2 * 5 + 1) * 3,
    "paper-rigl": 3 * (4 * 5 + 1) * 3,
    "paper-bsr": 3 * 3 * (2 * 5) * 2 * 3,
    "paper-imagenet": 2 * 4 + 1,
    # Both methods; static, dense, more epochs; under attack.
    "fashion": (2 * 2 * 4 + 2 + 1 + 1 + 4) * 3,
    "fashion-gpu": ((3 * 2 + 1) * 4 + 2 * 4 + 2) * 3,
}
RECIPES = (
    *("paper-itop", "paper-rigl-c10-resnet50", "paper-rigl-c100-resnet50", "paper-rigl-wrn22"),
    *("bsr-cifar", "bsr-cifar-upstream", "paper-imagenet", "fashion", "fashion-gpu"),
)


@cache
def grid(repository: Path, name: str) -> Grid:
    return load_grid(str(repository / "workflows" / "grids" / f"{name}.yaml"))


def first(repository: Path, name: str, **fields: Any) -> Cell:
    """The first cell of a grid whose axes have these names."""
    return next(
        cell
        for cell in grid(repository, name).cells
        if all(getattr(cell, axis).name == value for axis, value in fields.items())
    )


@pytest.mark.parametrize("name", SIZES)
def test_a_grid_has_as_many_cells_as_its_axes_say(repository: Path, name: str) -> None:
    found = grid(repository, name)
    assert len(found.cells) == SIZES[name]
    estimators = {cell.correction.options.get("estimator") for cell in found.cells}
    assert estimators >= {"loss", "online"}
    assert "placebo" in {cell.correction.name for cell in found.cells}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_the_source_of_its_numbers(repository: Path, name: str) -> None:
    path = repository / "workflows" / "recipes" / f"{name}.yaml"
    assert read_recipe(path).training["epochs"] > 0
    if name.startswith(("paper", "bsr")):
        assert "commit" in path.read_text() or "conf/" in path.read_text()


def learning_rates(cell: Cell) -> list[float]:
    """Learning rate of every epoch, from the schedule that training steps."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=cell.training.optimizer.lr)
    schedule = make_schedule(cell.training.schedule, optimizer, cell.training.epochs)
    rates = []
    for _ in range(cell.training.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no optimizer steps here
            schedule.step()
    return rates


@pytest.mark.parametrize(
    ("name", "fields", "lr", "drops", "factor", "warmup"),
    [
        ("paper-itop", {}, 0.1, (125, 187), 0.1, 0),
        ("paper-rigl", {"architecture": "wrn_22_2"}, 0.1, (85, 171), 0.2, 0),
        (
            "paper-rigl",
            {"dataset": "cifar10", "architecture": "resnet50_cifar"},
            0.01,
            None,
            0.2,
            5,
        ),
        ("paper-rigl", {"dataset": "cifar100"}, 0.2, None, 0.2, 5),
        ("paper-bsr", {}, 0.04, (50, 100), 0.1, 0),
        ("paper-imagenet", {}, 0.1, (30, 60, 90), 0.1, 5),
    ],
)
def test_learning_rates_are_the_published_ones_by_epoch(
    repository: Path, name, fields, lr, drops, factor, warmup
) -> None:
    cell = first(repository, name, **fields)
    # A-RigL: every 20,000 steps of 351 whole batches of 45,000 images.
    drops = drops or [round(k * 20_000 / (45_000 // 128)) for k in range(1, 5)]
    expected = [
        lr * (epoch + 1) / (warmup + 1)
        if epoch < warmup
        else lr * factor ** sum(epoch >= drop for drop in drops)
        for epoch in range(cell.training.epochs)
    ]
    assert learning_rates(cell) == pytest.approx(expected, rel=1e-9)


def test_the_decay_of_bsr_shrinks_weights_by_what_its_code_subtracts(repository: Path) -> None:
    model = nn.Linear(3, 2)
    before = [p.detach().clone() for p in model.parameters()]
    settings = first(repository, "paper-bsr").training.optimizer
    optimizer = make_optimizer(
        settings.name, model.parameters(), settings.options, **settings.shared
    )
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), old * (1 - 5e-4))


def test_topology_updates_are_the_published_ones(repository: Path) -> None:
    def options(name: str, **fields: Any) -> tuple:
        found = first(repository, name, **fields).method.options
        return tuple(found[key] for key in ("update_interval", "drop_fraction", "end_fraction"))

    assert options("paper-itop", method="set-itop") == (1500, 0.5, 1.0)
    assert options("paper-itop", method="rigl-itop") == (4000, 0.5, 1.0)
    assert options("paper-rigl", method="rigl", dataset="cifar100") == (100, 0.3, 0.75)
    assert options("paper-imagenet", method="rigl-itop") == (4000, 0.5, 1.0)


def test_dense_runs_are_references_and_never_corrected(repository: Path) -> None:
    for name in ("paper-itop", "paper-rigl", "paper-imagenet"):
        found = grid(repository, name)
        dense = [cell for cell in found.cells if cell.method.name == "dense"]
        assert dense
        assert {cell.correction.name for cell in dense} == {"none"}


def test_wide_networks_have_the_dropout_of_their_code(repository: Path) -> None:
    assert first(repository, "paper-rigl").architecture.options == {"drop_rate": 0.3}
    assert first(repository, "paper-bsr", architecture="wrn_28_4").architecture.options == {}


@pytest.mark.parametrize("name", ["fashion", "fashion-gpu"])
def test_more_plain_epochs_have_the_units_of_the_correction(repository: Path, name: str) -> None:
    cells = [
        cell
        for cell in grid(repository, name).cells
        if (cell.method.name, cell.objective.name) == ("rigl", "standard")
    ]
    kinds = {
        (cell.correction.name, cell.correction.options.get("estimator"), units(cell))
        for cell in cells
    }
    costs = sorted(cost for correction, _, cost in kinds if correction == "none")
    (official,) = (cost for _, estimator, cost in kinds if estimator == "loss")
    assert costs[1] == pytest.approx(official, rel=0.02)
    for a, b in itertools.pairwise(costs):
        assert b > 3 * a


def test_the_fashion_grid_fits_two_cores_for_ninety_minutes(repository: Path) -> None:
    predicted = estimate(grid(repository, "fashion"), Path("nothing"))
    assert predicted.cpu_seconds < 2 * 90 * 60
