"""Modules that hold a network in whole: torch.compile's, and those that train it in parallel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.nn.parallel import DistributedDataParallel


def layers_of(model: Module) -> list[Module]:
    """The model as it is given, then what is in it, down to the network itself.

    Known are DistributedDataParallel, DataParallel, what ``torch.compile`` returns, and
    AveragedModel, in any order.
    """
    found = [model]
    while (inner := _inside(found[-1])) is not None:
        found.append(inner)
    return found


def unwrapped(model: Module) -> Module:
    """The network itself, whose names masks and states have."""
    return layers_of(model)[-1]


def distributed(model: Module) -> DistributedDataParallel | None:
    """The DistributedDataParallel among the wrappers, or None."""
    kind = torch.nn.parallel.DistributedDataParallel
    return next((layer for layer in layers_of(model) if isinstance(layer, kind)), None)


def ways_into(model: Module) -> tuple[Module, ...]:
    """What is called in training, for each call to be noticed there; then, if that is another,
    what passes beside the step go through.

    Both are compiled if the model is, so that they compute and draw the same. Around the first
    DistributedDataParallel may be left out; the second has none in it, as it averages nothing.
    """
    kind = torch.nn.parallel.DistributedDataParallel
    layers = layers_of(model)
    while isinstance(layers[0], kind):
        layers = layers[1:]
    last = max((n for n, layer in enumerate(layers) if isinstance(layer, kind)), default=-1)
    return (layers[0],) if last < 0 else (layers[0], layers[last + 1])


def _inside(model: Module) -> Module | None:
    parallel = torch.nn.parallel
    holders = (
        parallel.DistributedDataParallel,
        parallel.DataParallel,
        torch.optim.swa_utils.AveragedModel,
    )
    if isinstance(model, holders):
        return model.module
    # Importing the compiler takes seconds, and who has not done so has compiled nothing.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is not None and isinstance(model, compiler.OptimizedModule):
        return model._orig_mod
    return None
