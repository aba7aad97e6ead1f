"""Reference trajectories of the official code: what a file holds, and its networks and batches."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor, nn
from torch.nn import functional

from agc.sparsity.update import drop_and_grow

WEIGHTS, TAU = 1e-10, 1e-9
DEFAULT = Path(__file__).parents[3] / "shared" / "fidelity"
FOLDER = Path(os.environ.get("AGC_FIDELITY", DEFAULT))
NOTHING = pytest.param(
    None,
    marks=pytest.mark.skip(
        reason=f"no reference trajectories in {FOLDER}; set AGC_FIDELITY to their folder"
    ),
)


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return functional.log_softmax(self.fc2(functional.relu(self.fc1(x))), dim=1)


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x))).mean(dim=(2, 3))
        return functional.log_softmax(self.fc(x), dim=1)


MODELS = {"mlp": MLP, "cnn": CNN}
Batch = tuple[Tensor, Tensor]


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    return functional.nll_loss(model(batch[0]), batch[1])


def initial_model(file: NpzFile, problem: str) -> nn.Module:
    """The network with the file's masked initial weights and buffers, in float64."""
    model = MODELS[problem]().double().train()
    state = {name: file[f"w0/{name}"] for name in file["param_names"]}
    state |= {key.removeprefix("buf0/"): file[key] for key in file if key.startswith("buf0/")}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return model


def batches(file: NpzFile, order: int) -> Iterator[Batch]:
    """Batches of one pass; the last one of the convolutional problem is smaller."""
    rows, size = file["orders"][order], int(file["batch_size"])
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield torch.from_numpy(file["X"][part]), torch.from_numpy(file["y"][part])


def update(masks: dict[str, Tensor], parameters: dict[str, Any], rate: float) -> None:
    """The official RigL update: the count is rounded up, growth is by the raw gradient."""
    for name, mask in masks.items():
        weight, gradient = parameters[name]
        count = math.ceil(rate * int(mask.sum()))
        mask.copy_(drop_and_grow(mask, weight.detach().abs(), gradient.abs(), count))


def flat(tensors: Any) -> np.ndarray:
    return np.concatenate([t.detach().numpy().reshape(-1) for t in tensors])
