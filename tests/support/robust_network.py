"""A small adversarially trained network on digits, which several tests attack."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from agc.attacks.base import Threat
from agc.datasets.base import Split
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import train

THREAT = Threat("linf", 0.1)
OBJECTIVE = {"name": "pgd-at", "options": {"epsilon": 0.1, "step_size": 0.05, "steps": 3}}


def robust_cell(make: Callable) -> Cell:
    """Seven epochs of twenty batches: about two thirds of the images stand the attack."""
    return make(
        objective=OBJECTIVE,
        evaluation={"epsilon": THREAT.epsilon, "step_size": 0.025, "steps": 20},
        training={"epochs": 7, "validation": 157, "optimizer": {"lr": 0.2}},
        architecture={"name": "resnet8", "options": {"width": 6}},
    )


@cache
def robust_network(make: Callable) -> tuple[nn.Module, Split]:
    """The network in training mode, as the loop leaves it, and the test images."""
    run = build(robust_cell(make))
    for _ in train(run):
        pass
    return run.model, run.test


def pixels(split: Split) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels."""
    return split.images.float() / 255, split.labels


def right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which images the network gets right in evaluation mode; its mode comes back."""
    mode = model.training
    model.eval()
    with torch.no_grad():
        found = model(images).argmax(dim=1) == labels
    model.train(mode)
    return found
