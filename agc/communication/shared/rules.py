"""What no entry of the axis but ``none`` can do, in a cell and in a loop of one's own."""

from __future__ import annotations

from typing import Any

from agc.compressors.base import FLOAT
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES, OPTIMIZERS, QUANTIZATIONS, Entry


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why several workers make no sense in ``cell``, or None."""
    if "workers" not in options:
        return None
    workers, training = options["workers"], cell.training
    if training.batch_size % workers:
        return f"batch_size {training.batch_size} cannot be shared evenly by {workers} workers"
    if workers % training.devices:
        return (
            f"{workers} workers cannot be spread evenly over training.devices: {training.devices}"
        )
    objective, optimizer = cell.objective.name, training.optimizer.name
    if OBJECTIVES[objective].target.state_names():
        return f"objective {objective!r} changes with each gradient, and a step has {workers}"
    if getattr(OPTIMIZERS[optimizer].target, "probes", False):
        return f"optimizer {optimizer!r} probes the loss of the whole batch, which no worker has"
    method, correction = METHODS[cell.method.name].target, CORRECTIONS[cell.correction.name].target
    if reason := unshared_method(method):
        return f"method {cell.method.name!r} {reason}"
    if not correction.by_worker:
        return f"correction {cell.correction.name!r} {MEMORY}"
    return _unshared_formats(cell)


MEMORY = (
    "cannot correct the gradients of several workers in one step: it moves their point, or keeps "
    "something of each step for the next"
)


GATED = (
    "cannot be that of several workers in one step: it learns from the gradient of the whole "
    "batch, or chooses bits within the network"
)

ROUNDED = "rounds the gradient of the whole batch, which no worker has"


def _unshared_formats(cell: Any) -> str | None:
    """What keeps the numbers of a cell from being several workers', or None."""
    name, options = cell.quantization.name, cell.quantization.options
    if not QUANTIZATIONS[name].target.by_worker:
        return f"quantization {name!r} {GATED}"
    if options.get("weight_gradients", FLOAT) < FLOAT:
        return f"quantization {name!r} {ROUNDED}: weight_gradients must be {FLOAT}"
    if name != "none" and cell.training.devices > 1:
        return (
            f"quantization {name!r} takes extremes over all processes, and each worker has its "
            f"own: training.devices must be 1, got {cell.training.devices}"
        )
    return None


def unshared_method(method: Any) -> str | None:
    """What keeps the gradients of a step with this method from being several workers', or None.

    Args:
        method: its class, or the method.
    """
    if getattr(method, "hides_weights", False):
        return (
            "trains weights that the forward pass does not see, and messages are of those it sees"
        )
    if getattr(method, "adds_noise", False):
        return "adds noise to the weights by the optimizer's own step, which is the workers' here"
    if not method.repeatable:
        return "takes part in one gradient of a step alone"
    return None
