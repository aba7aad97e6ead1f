"""The differentiable part of a step: precision, and the noise of random layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from agc import rng
from agc.datasets.loader import Batch
from agc.objectives.base import Objective

LossFunction = Callable[[nn.Module, Batch], Tensor]


def loss_function(objective: Objective, model: nn.Module, precision: str) -> LossFunction:
    """``(model, batch) -> mean loss`` that a correction can replay at other weights.

    A network with dropout draws its noise from the batch's own seed, so that the same batch
    drops the same units in every pass over it and no global random stream moves.
    """
    noisy = any("Drop" in type(module).__name__ for module in model.modules())

    def loss_fn(network: nn.Module, batch: Batch) -> Tensor:
        half = torch.autocast(
            batch.images.device.type, torch.bfloat16, enabled=precision == "bfloat16"
        )
        with half, rng.isolated(batch.noise) if noisy else nullcontext():
            return objective.loss(network, batch).float()

    return loss_fn
