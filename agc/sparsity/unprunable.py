"""Networks in which the rule finds no weight that may be pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.errors import UserError

if TYPE_CHECKING:
    from torch.nn import Module

LISTED = 5
"""Layers and weights that the message names, at most."""


def nothing_to_prune(model: Module) -> UserError:
    """Error that says what the network has instead, and what ``also_prune`` could name."""
    layers: list[str] = []
    weights: list[str] = []
    for prefix, module in model.named_modules():
        found = [f"{prefix}.{name}" if prefix else name for name in _matrices(module)]
        if found:
            layers.append(
                f"{type(module).__name__} {prefix!r}" if prefix else type(module).__name__
            )
            weights += found
    message = "the network has no convolution, linear, attention or recurrent layer to prune"
    if not weights:
        return UserError(f"{message}, nor another of two dimensions or more; dense can train it")
    return UserError(
        f"{message}; it has {_listed(layers)}: also_prune takes {_listed(weights)}; "
        "without pruning, dense can train it"
    )


def _matrices(module: Module) -> list[str]:
    """Names of a module's own parameters that ``also_prune`` may name."""
    return [name for name, p in module.named_parameters(recurse=False) if p.ndim >= 2]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
