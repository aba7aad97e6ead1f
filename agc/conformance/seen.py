"""What operations multiply with, beside what masks and FLOPs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.gradients.gradient import preserved_buffers
from agc.sparsity.operations import watching


def compare_zeros(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: Any,
    run: Callable[[], Any],
    masks: Mapping[str, Tensor] | None = None,
) -> set[str]:
    """Assert that weights are zero where a forward pass multiplies with them as in the parameters,
    and where ``masks`` prune them.

    Returns:
        Names of the weights that it multiplies with.
    """
    watched = watching(model, parameters, inputs, values=True)
    with rng.preserved(), preserved_buffers(model), watched as operations:
        run()
    used = {name for name in parameters if operations.used(name).any()}
    for name in used:
        where, seen = operations.used(name), operations.nonzero(name)
        same = torch.equal(seen, where & (parameters[name] != 0))
        assert same, f"{name}: an operation sees other zeros than the parameter has"
        pruned = masks is not None and (seen & ~masks[name]).any()
        assert not pruned, f"{name}: an operation sees a weight that is pruned"
    return used


def compare_flops(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    image: Tensor,
    used: set[str],
    flops: Mapping[str, float],
) -> None:
    """Assert that FLOPs by weight are at least what the layers' inputs and outputs say, and that
    whatever is multiplied with has some.

    Args:
        model: in the mode of the pass.
        parameters: weights by name.
        image: one image.
        used: names of the weights that the pass multiplies with.
        flops: as counted, by name.
    """
    names, work = {id(p): name for name, p in parameters.items()}, Counter()

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        places = inputs[0] if getattr(layer, "transposed", False) else output
        work[names[id(layer.weight)]] += 2 * places.numel() * layer.weight[0].numel()

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    layers = [m for m in model.modules() if isinstance(m, kinds) and id(m.weight) in names]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    for name in parameters:
        assert (flops[name] > 0) == (name in used), f"{name}: {flops[name]} FLOPs"
        # Another module may use a layer's weight besides.
        counted = f"{name}: {flops[name]} FLOPs, and {work[name]} by inputs and outputs"
        assert flops[name] >= work[name], counted
