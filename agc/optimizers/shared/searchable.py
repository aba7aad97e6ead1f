"""Where a line search is of no use: what moves the loss, or the learning rate, besides it."""

from __future__ import annotations

from typing import Any

from agc.registry import CORRECTIONS, METHODS, OBJECTIVES


def unsearchable(cell: Any) -> str | None:
    """Why an optimizer that searches the loss along its direction makes no sense in ``cell``."""
    schedule = cell.training.schedule
    if schedule.name != "constant" or schedule.warmup:
        return (
            "its searches set the learning rate, so training.schedule must be constant, without "
            f"warmup, got {schedule.name!r} with warmup {schedule.warmup}"
        )
    method, correction = cell.method.name, cell.correction.name
    target = METHODS[method].target
    if target.hides_weights:
        return (
            f"method {method!r} trains weights that the forward pass does not see, so the loss "
            "does not change along them as their gradient says"
        )
    if target.adds_noise:
        return (
            f"method {method!r} adds noise to the weights by the learning rate, which a search "
            "for the loss of one batch does not know of"
        )
    if OBJECTIVES[cell.objective.name].target.state_names():
        return (
            f"objective {cell.objective.name!r} changes with each gradient, so the losses of a "
            "search are not of the loss whose slope it has"
        )
    if not CORRECTIONS[correction].target.searchable:
        return (
            f"the gradient that correction {correction!r} leaves is not that of the batch's loss "
            "at the present weights and a constant, so no loss of the batch has it as its slope"
        )
    return None
