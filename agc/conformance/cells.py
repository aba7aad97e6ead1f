"""Small cells of digits, and what holds when one has been trained."""

from __future__ import annotations

import math
from typing import Any

from agc.conformance.method_problem import often
from agc.conformance.seen import compare_zeros
from agc.datasets.shared.loader import in_order
from agc.gradients.modes import evaluating
from agc.grids.cell import Cell, make_cell
from agc.registry import METHODS
from agc.training.build import build
from agc.training.loop import train


def small_cell(
    name: str,
    *,
    objective: str = "standard",
    correction: str = "none",
    quantization: str | dict[str, Any] = "none",
    **training: object,
) -> Cell:
    """A cell of a tiny network on digits: 2 epochs of 2 batches."""
    method = METHODS[name].target
    options = often(name, update_interval=1, late_interval=1, iterations=2)
    return make_cell(
        {
            "dataset": "digits",
            "architecture": {"name": "resnet8", "options": {"width": 4}},
            "objective": objective,
            "method": {"name": name, "options": options},
            "sparsity": 0.8 if method.sparse else 0.0,
            "correction": correction,
            "quantization": quantization,
            "training": {
                "epochs": 2,
                "batch_size": 64,
                "validation": 1437 - 2 * 64,
                **training,
            },
        }
    )


def train_cell(cell: Cell) -> None:
    """Train it; every loss is finite, and the network as sparse as it was to be, also where it
    multiplies.
    """
    run = build(cell)
    for _, losses in train(run):
        assert math.isfinite(losses.sum().item()), f"{cell.slug}: the loss is not finite"
    reached = run.method.sparsity()
    assert abs(reached - run.method.target) < 1e-3, f"{cell.slug}: sparsity {reached:.4f}"
    model, method = run.model, run.method
    image = next(in_order(run.validation, 1)).images
    with evaluating(model):
        used = compare_zeros(model, method.parameters, image, lambda: model(image), method.masks)
    assert used == {*method.parameters}, f"{cell.slug}: a weight is not multiplied with"
