"""Declared cost of a cell in units, known before anything runs."""

from __future__ import annotations

from agc.architectures import cell_calls
from agc.grids.cell import Cell
from agc.optimizers.base import optimizer_cost
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES, QUANTIZATIONS

PLAIN = 3
"""Units of a batch of plain training: one forward, one backward pass."""


def units_per_epoch(cell: Cell) -> float:
    """Declared cost of an epoch, in forward passes over the training images.

    A correction declares its cost for losses of one pass; where the objective's takes two (clean
    and adversarial images), so does each gradient of the correction.
    """
    return _units(cell, 1)


def units_per_step(cell: Cell) -> float:
    """The same without the correction's passes over the data: what its steps cost alone."""
    return _units(cell, 0)


def _units(cell: Cell, snapshots: int) -> float:
    objective = OBJECTIVES[cell.objective.name].target
    correction = CORRECTIONS[cell.correction.name].target
    calls = cell_calls(cell.architecture)
    prepare = objective.preparation(cell_calls=calls, **cell.objective.options).units
    evaluate = objective.evaluation(**cell.objective.options).units
    extra = correction.cost(**cell.correction.options)
    sampled = METHODS[cell.method.name].target.step_units(**cell.method.options)
    optimizer = cell.training.optimizer
    searched = optimizer_cost(optimizer.name, optimizer.options).step
    quantization = cell.quantization
    gated = QUANTIZATIONS[quantization.name].target.cost(**quantization.options).step
    snapshot = snapshots * extra.snapshot
    passes = (extra.step + snapshot + sampled + searched + gated) * evaluate / PLAIN
    return prepare + evaluate + passes + snapshots * extra.prepared_pass * prepare


def units(cell: Cell) -> float:
    """Declared cost of the whole training."""
    return cell.training.epochs * units_per_epoch(cell)
