"""Tiny cells that every gradient correction is trained in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from agc.conformance.checks import DoesNotApply
from agc.grids.cell import Cell, make_cell
from agc.planning.declared import units_per_epoch
from agc.registry import CORRECTIONS, METHODS
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run

STEPS = 4
"""Batches in an epoch."""

OPTIONS = {"scsg": {"batches": 2, "interval": 4}}
"""Where the defaults ask for more batches than a tiny epoch has."""

CERTAIN = {"l-svrg": {"refreshes": float(STEPS)}}
"""Where a cost is declared in expectation: options with which nothing is left to chance."""


def tiny(name: str, options: dict[str, Any] | None = None, **fields: Any) -> Cell:
    """A cell of digits: two epochs of four steps, in which RigL updates twice.

    Args:
        name: of the correction.
        options: of the correction.
        fields: of the cell; those of ``training`` are merged.
    """
    method = fields.pop("method", "rigl")
    often = "update_interval" in METHODS.options(method).model_fields
    training = {
        "epochs": 2,
        "batch_size": 16,
        "validation": 1437 - 16 * STEPS,
        "augmentation": {"crop": 1},
        "fixed_batches": CORRECTIONS[name].target.fixed_batches,
        **fields.pop("training", {}),
    }
    return make_cell(
        {
            "dataset": "digits",
            "architecture": {"name": "resnet8", "options": {"width": 4}},
            "method": {"name": method, "options": {"update_interval": 2} if often else {}},
            "sparsity": 0.9 if METHODS[method].target.sparse else 0.0,
            "correction": {
                "name": name,
                "options": OPTIONS.get(name, {}) if options is None else options,
            },
            "training": training,
            **fields,
        }
    )


def objective_named(name: str, steps: int = 1) -> dict[str, Any]:
    """An objective whose attack, if it is ``pgd-at``, is short."""
    return {"name": name, "options": {"steps": steps} if name == "pgd-at" else {}}


def result(run: Run) -> list[Tensor]:
    """Weights, buffers, masks and momentum."""
    momentum = [s["momentum_buffer"] for s in run.optimizer.state.values()]
    return [*run.model.state_dict().values(), *run.method.masks.values(), *momentum]


def trained(cell: Cell) -> tuple[Run, list[Tensor]]:
    """The run at its end, and what it left: tensors first, then each epoch's losses."""
    run = build(cell)
    losses = [loss for _, loss in train(run)]
    assert all(torch.isfinite(loss).all() for loss in losses), "a loss is not finite"
    return run, [*result(run), *losses]


@cache
def plain(fixed_batches: bool, objective: str = "standard") -> tuple[Run, list[Tensor]]:
    """The run without correction that others are compared with; trained once."""
    training = {"fixed_batches": fixed_batches}
    return trained(tiny("none", objective=objective_named(objective), training=training))


@cache
def counted(name: str, objective: str = "standard") -> tuple[list[float], float]:
    """Units after each of two epochs, and the declared ones of an epoch."""
    options = CERTAIN.get(name)
    run = build(tiny(name, options, objective=objective_named(objective, steps=2), seed=2))
    assert len(run.loader) == STEPS
    images = run.loader.images_per_epoch
    return [run.meter.units(images) for _ in train(run)], units_per_epoch(run.cell)


@cache
def run_with(name: str, method: str, precision: str) -> Run:
    """A trained cell of another method or precision."""
    return trained(tiny(name, method=method, training={"precision": precision}))[0]


@contextmanager
def switched_off(name: str) -> Iterator[dict[str, Any]]:
    """Options with which ``name`` does nothing; within it a coefficient that is no option is 0.

    Raises:
        DoesNotApply: there is no such thing.
    """
    target = CORRECTIONS[name].target
    if target.off is not None:
        yield target.off
        return
    if not hasattr(target, "coefficient"):
        raise DoesNotApply(f"{name} has no strength that could be 0")
    own = vars(target).get("coefficient")
    target.coefficient = 0.0
    try:
        yield OPTIONS.get(name, {})
    finally:
        if own is None:
            del target.coefficient
        else:
            target.coefficient = own
