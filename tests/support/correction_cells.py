"""Tiny cells that every gradient correction is trained in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agc.grids.cell import Cell
from agc.registry import CORRECTIONS, METHODS
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run

STEPS = 4
"""Batches in an epoch."""

OPTIONS = {"scsg": {"batches": 2, "interval": 4}}
"""Where the defaults ask for more batches than a tiny epoch has."""


def tiny(make: Callable, name: str, options: dict[str, Any] | None = None, **fields: Any) -> Cell:
    """A cell of two epochs of four steps, in which RigL updates twice."""
    method = fields.pop("method", "rigl")
    training = {"batch_size": 16, "validation": 1437 - 16 * STEPS, **fields.pop("training", {})}
    often = "update_interval" in METHODS.options(method).model_fields
    return make(
        method={"name": method, "options": {"update_interval": 2} if often else {}},
        sparsity=0.9 if METHODS[method].target.sparse else 0.0,
        correction={"name": name, "options": OPTIONS.get(name, {}) if options is None else options},
        training={"fixed_batches": CORRECTIONS[name].target.fixed_batches, **training},
        **fields,
    )


def objective_named(name: str, steps: int = 1) -> dict[str, Any]:
    return {"name": name, "options": {"steps": steps} if name == "pgd-at" else {}}


def result(run: Run) -> list[Tensor]:
    momentum = [s["momentum_buffer"] for s in run.optimizer.state.values()]
    return [*run.model.state_dict().values(), *run.method.masks.values(), *momentum]


def trained(cell: Cell) -> tuple[Run, list[Tensor]]:
    """The run at its end, and what it left: tensors first, then each epoch's losses."""
    run = build(cell)
    losses = [loss for _, loss in train(run)]
    assert all(torch.isfinite(loss).all() for loss in losses)
    return run, [*result(run), *losses]
