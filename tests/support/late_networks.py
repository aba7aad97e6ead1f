"""Networks that draw their weights late, or from streams that are not torch's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import agc.architectures.base as architectures
from agc.grids.cell import Cell

NAME = "resnet18"
"""Under this name of timm's, cells get another network (:func:`networks_are`)."""


class Lazy(nn.Sequential):
    """Every layer learns its shape from the first image, and draws its weights then."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            nn.LazyConv2d(4, 3, stride=2, padding=1),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )


class Later(nn.Module):
    """Adds its head when it sees the first image."""

    in_training = False
    """Whether the pass must be one in training mode."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images).relu().flatten(1)
        if not hasattr(self, "head"):
            if self.in_training and not self.training:
                return features[:, : self.classes]
            self.head = nn.Linear(features.shape[1], self.classes)
        return self.head(features)


class TooLate(Later):
    """Adds its head in training mode only, when the optimizer has been made."""

    in_training = True


class Worldly(nn.Module):
    """Draws from Python's and NumPy's streams, when it is made and when it sees an image first."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        with torch.no_grad():
            self.stem.weight.mul_(random.random() + np.random.rand())
        self.head: nn.Module = nn.LazyLinear(classes)
        self.scale = 0.0

    def forward(self, images: Tensor) -> Tensor:
        self.scale = self.scale or random.random() + np.random.rand()
        return self.head(self.stem(images).relu().flatten(1)) * self.scale


class Matrix(nn.Module):
    """Mean colours times a matrix of its own; no layer that the rule finds."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(channels, classes))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) @ self.matrix


LATE: tuple[Callable[[int, int], nn.Module], ...] = (Lazy, Later, Worldly)


def networks_are(kind: Callable[[int, int], nn.Module], patch: pytest.MonkeyPatch) -> None:
    """Have the suite build ``kind(channels, classes)``, whatever the network is called."""

    def create(name: str, size: Any, options: Any, *, num_classes: int, in_chans: int) -> nn.Module:
        return kind(in_chans, num_classes)

    patch.setattr(architectures, "create_for_images", create)


def streams() -> tuple[bytes, object, bytes]:
    """The states of the three global streams."""
    torchs = torch.get_rng_state().numpy().tobytes()
    return torchs, random.getstate(), np.random.get_state()[1].tobytes()


def with_such_a_network(cell: Callable[..., Cell], **fields: Any) -> Cell:
    """A tiny cell whose network :func:`networks_are` decides."""
    return cell(architecture=NAME, **fields)
