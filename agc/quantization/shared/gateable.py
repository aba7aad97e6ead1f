"""Where bits that are chosen within the network make no sense."""

from __future__ import annotations

from typing import Any

from agc.registry import CORRECTIONS, METHODS, OBJECTIVES, OPTIMIZERS

NETWORKS = ("resnet8", "resnet20", "resnet32", "resnet56")
"""With residual blocks that a gate knows."""


def ungateable(cell: Any) -> str | None:
    """Why a gate that chooses bits makes no sense in ``cell``, or None."""
    method, correction = cell.method.name, cell.correction.name
    if cell.architecture.name not in NETWORKS:
        return (
            f"it gates the blocks of {', '.join(NETWORKS)}, and of no other network, such as "
            f"{cell.architecture.name!r}"
        )
    if cell.training.devices > 1:
        return f"it trains on one device, got training.devices: {cell.training.devices}"
    if reason := unseen_weights(method):
        return reason
    if CORRECTIONS[correction].target.spans_epochs:
        return (
            f"correction {correction!r} compares gradients of one step with those of another, and "
            "each step has a choice of its own"
        )
    if OBJECTIVES[cell.objective.name].target.state_names():
        return (
            f"objective {cell.objective.name!r} changes with each gradient, which are of chosen "
            "bits"
        )
    if getattr(OPTIMIZERS[cell.training.optimizer.name].target, "probes", False):
        return "a search for the loss along a line would see it jump with the choice of bits"
    return None


def unseen_weights(method: str) -> str | None:
    """Why a method's weights are not those that are quantised, or None."""
    target = METHODS[method].target
    if target.hides_weights:
        return f"method {method!r} trains weights that the forward pass does not see"
    if target.adds_noise:
        return f"method {method!r} adds noise to the weights after each step"
    return None
