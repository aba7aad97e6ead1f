"""Which cells have steps that take as long: what is timed once for all of them."""

from __future__ import annotations

import json

from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell

SCALED = ("method", "correction", "optimizer")
"""Axes whose entries declare their cost in units: it is counted, and not timed for each."""

SETTINGS = ("batch_size", "precision", "channels_last", "augmentation", "compiled")
"""What else of a training a step's time depends on."""


def kind(cell: Cell) -> str:
    """Name of a cell's kind: cells of one kind take as long for a plain step, as JSON."""
    training = cell.training.model_dump(mode="json")
    parts = {
        name: axis.of(cell).model_dump(mode="json")
        for name, axis in AXES.items()
        if name not in SCALED
    }
    # What came later is not there where it has its default.
    parts |= {name: training[name] for name in SETTINGS if name in training}
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def plain(cell: Cell, batch_size: int | None = None) -> Cell:
    """The cell of the same kind that is timed: dense, uncorrected, by SGD, for one epoch.

    Args:
        cell: any.
        batch_size: fewer images a step than it has; None: as many.
    """
    data = cell.model_dump(mode="json")
    training = data["training"] | {"epochs": 1, "devices": 1}
    training["batch_size"] = batch_size or cell.training.batch_size
    training.pop("start", None)  # other weights take as long
    if cell.training.optimizer.name != "sgd":
        training["optimizer"] = {"name": "sgd", "lr": 1e-3}
    simple = {"method": "dense", "sparsity": 0.0, "correction": "none", "training": training}
    return make_cell({**data, **simple})


def describe(cell: Cell) -> str:
    """A kind in words, for a line of progress."""
    names = [axis.of(cell).name for name, axis in AXES.items() if name not in SCALED]
    shown = [name for name in names if name != "none"]
    return ", ".join([*shown, cell.training.precision, f"batches of {cell.training.batch_size}"])
