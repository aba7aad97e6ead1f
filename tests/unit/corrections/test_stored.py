from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.planning.declared import units_per_epoch
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run

CORRECTIONS = ("agc", "svrg", "alpha-svrg", "constant")


@pytest.fixture
def cell(tiny_cell: Callable[..., Cell]) -> Callable[..., Cell]:
    """Makes a cell whose steps see the images of the pass, and whose topology changes."""

    def make(name: str, store: float, training: dict[str, Any] | None = None, **options: Any):
        return tiny_cell(
            method={"name": "rigl", "options": {"update_interval": 3}},
            sparsity=0.9,
            correction={"name": name, "options": {"store": store, **options}},
            training={"augmentation": {"crop": 1, "locked": True}, **(training or {})},
        )

    return make


def trained(cell: Cell) -> tuple[Run, list[torch.Tensor]]:
    run = build(cell)
    losses = [loss for _, loss in train(run)]
    return run, [*run.model.state_dict().values(), *run.method.masks.values(), *losses]


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in CORRECTIONS]
    + [("agc", {"estimator": "online"}), ("agc", {"variant": "algorithm-1"})],
)
def test_stored_gradients_are_those_of_the_steps_to_the_bit_and_spare_three_units(
    name: str, options: dict[str, Any], cell: Callable[..., Cell]
) -> None:
    (plain, wanted), (stored, found) = (trained(cell(name, s, **options)) for s in (0.0, 1.0))
    assert stored.ledger.updates > 0
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    images = plain.loader.images_per_epoch
    spared = plain.meter.units(images) - stored.meter.units(images)
    assert spared == 3 * plain.cell.training.epochs
    for run in (plain, stored):
        units = run.meter.units(images) / run.cell.training.epochs
        assert units == units_per_epoch(run.cell)


def test_one_gradient_after_another_is_kept_and_none_beyond_its_epoch(
    cell: Callable[..., Cell],
) -> None:
    run = build(cell("svrg", 1.0))
    for _ in train(run):
        assert len(run.correction.stored) == len(run.loader)
    assert not run.correction.noise.notes


def test_gradients_that_take_more_than_the_store_are_refused_before_the_pass(
    cell: Callable[..., Cell],
) -> None:
    run = build(cell("svrg", 1e-6))
    with pytest.raises(UserError, match=r"4 gradients of an epoch take .* more than store = 1e-06"):
        next(train(run))
    assert run.meter.units(1) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training": {"augmentation": {"crop": 1}}}, "augmentation.locked"),
        ({"objective": "pgd-at"}, "an attack makes other images"),
        ({"full_gradient": "subset"}, "that of a subset"),
        ({"variant": "a-bsr"}, "pass_images 'raw'"),
    ],
)
def test_a_store_of_other_gradients_than_those_of_the_steps_is_refused(
    fields: dict[str, Any], message: str, tiny_cell: Callable[..., Cell]
) -> None:
    options = {k: v for k, v in fields.items() if k in ("full_gradient", "variant")}
    cell = {k: v for k, v in fields.items() if k not in options}
    cell["training"] = {"augmentation": {"crop": 1, "locked": True}, **cell.get("training", {})}
    with pytest.raises(UserError, match=message):
        tiny_cell(correction={"name": "agc", "options": {"store": 1.0, **options}}, **cell)
