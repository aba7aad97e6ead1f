"""What pruning an architecture means, layer by layer, before anything trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agc.errors import UserError
from agc.sparsity.distributions import active_counts


@dataclass(frozen=True)
class Layer:
    """One prunable weight.

    Attributes:
        name: as in ``named_parameters``.
        shape: output dimension first.
        weights: number of entries.
        active: how many of them the distribution keeps.
        sparsity: fraction of zeros.
        dense_flops: of one forward pass of one image, without pruning; a multiply-add is two.
        flops: the same with the active weights alone.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    active: int
    sparsity: float
    dense_flops: float
    flops: float


@dataclass(frozen=True)
class Totals:
    """Sums over a network.

    Attributes:
        parameters: all of them.
        prunable: those that may be pruned.
        active: those of the prunable that the distribution keeps.
        sparsity: fraction of zeros among the prunable.
        dense_flops: of one forward pass of one image, everything included.
        flops: the same after pruning.
        unpruned: other matrices that the network multiplies with: names that ``also_prune`` takes.
    """

    parameters: int
    prunable: int
    active: int
    sparsity: float
    dense_flops: float
    flops: float
    unpruned: tuple[str, ...] = ()


def measure(
    architecture: str,
    options: dict[str, Any],
    image: tuple[int, int, int],
    classes: int,
    sparsity: float,
    distribution: str = "erk",
    keep_dense: list[str] | tuple[str, ...] = (),
    also_prune: list[str] | tuple[str, ...] = (),
) -> tuple[list[Layer], Totals]:
    """Build the network, spread the sparsity over its layers, and count FLOPs.

    Args:
        architecture: any timm network, or ours.
        options: keyword arguments of the network.
        image: channels, height and width.
        classes: number of classes.
        sparsity: fraction of zeros among the prunable weights, in [0, 1).
        distribution: how it is spread.
        keep_dense: see :func:`agc.sparsity.prunable.choose_prunable`.
        also_prune: the same.

    Raises:
        UserError: no such network, one that does not fit the images, a pattern without a match,
            a sparsity that leaves a layer without weights, or a layer that multiplies with
            something else than its weight.
    """
    import torch

    from agc import rng
    from agc.architectures.base import build_network, first_pass
    from agc.cost.flops import layer_flops
    from agc.sparsity.effective import refuse_unseen
    from agc.sparsity.masks import prunable_parameters
    from agc.sparsity.prunable import choose_prunable
    from agc.sparsity.unprunable import nothing_to_prune

    picture = torch.zeros(1, *image)
    with rng.isolated_everywhere(0):
        model = build_network(architecture, options, image, classes)
        first_pass(model, picture, architecture, options, classes)
    parameters = choose_prunable(model, keep_dense, also_prune)
    if sparsity and not parameters:
        raise nothing_to_prune(model)
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    try:
        active = active_counts(shapes, sparsity, distribution)
        if sparsity:
            refuse_unseen(model, parameters)
    except ValueError as error:
        raise UserError(f"{architecture}: {error}") from error
    try:
        flops = layer_flops(model, picture, parameters)
        ruled = {*prunable_parameters(model), *parameters}
        others = {n: p for n, p in model.named_parameters() if p.ndim >= 2 and n not in ruled}
        unpruned = layer_flops(model, picture, others).layers
    except (RuntimeError, AssertionError) as error:  # it takes them: the counter is at fault
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{architecture}: its FLOPs cannot be counted ({reason})") from error
    layers = [
        Layer(
            name,
            shape,
            weights := math.prod(shape),
            active[name],
            1 - active[name] / weights,
            flops.layers[name],
            flops.layers[name] * active[name] / weights,
        )
        for name, shape in shapes.items()
    ]
    prunable, kept = sum(layer.weights for layer in layers), sum(active.values())
    everything = sum(p.numel() for p in model.parameters())
    return layers, Totals(
        everything,
        prunable,
        kept,
        1 - kept / prunable if prunable else 0.0,
        flops.forward(),
        flops.forward(active),
        tuple(name for name, spent in unpruned.items() if spent),
    )
