"""Runs of the published correction, recorded or recomputed: see ``data/README.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tests.fidelity.published import recomputed

DATA = Path(__file__).with_name("data")
RUNS = sorted(path.stem for path in DATA.glob("*_*_*.npz"))
"""What was recorded from the authors' code."""

Batch = tuple[Tensor, Tensor]


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


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    return functional.nll_loss(model(batch[0]), batch[1])


def flat(tensors: Iterable[Tensor]) -> NDArray[Any]:
    """All values in a row, in the order of the recorded ones."""
    return np.concatenate([t.detach().numpy().reshape(-1) for t in tensors])


class Trajectory:
    """One run; epochs count from 0, and so do steps, through all epochs.

    Args:
        problem: ``mlp`` or ``cnn``.
        masks: ``fixed``, or ``rigl`` for gradient growth.
        variant: of the correction.
        run: the arrays; recomputed from the recorded start if they are not given.
        gamma: scale of the coefficient.
    """

    def __init__(
        self,
        problem: str,
        masks: str,
        variant: str,
        run: dict[str, Any] | None = None,
        gamma: float = 0.1,
    ) -> None:
        self.start = dict(np.load(DATA / f"{problem}.npz"))
        self.problem, self.grows, self.variant, self.gamma = (
            problem,
            masks == "rigl",
            variant,
            gamma,
        )
        self.run = recomputed(self.start, self.grows, variant, gamma) if run is None else run
        self.X = torch.from_numpy(self.start["X"] / 16.0)
        self.y = torch.from_numpy(self.start["y"].astype(np.int64))
        self.stored = {int(step): i for i, step in enumerate(self.run["steps"])}
        self.masks = {
            name.removeprefix("mask0/"): torch.from_numpy(value.copy())
            for name, value in self.start.items()
            if name.startswith("mask0/")
        }
        """The masks at the beginning."""

    @classmethod
    def recorded(cls, name: str) -> Trajectory:
        """A run of the authors' code, by the name of its file, such as ``"mlp_rigl_asis"``."""
        run = dict(np.load(DATA / f"{name}.npz"))
        meta = json.loads(str(run["meta"]))
        return cls(meta["problem"], meta["maskmode"], meta["variant"], run, meta["gamma"])

    def model(self) -> nn.Module:
        """The network with its dense initial weights, in float64."""
        model = {"mlp": MLP, "cnn": CNN}[self.problem]().double().train()
        state = {
            name.partition("/")[2]: torch.from_numpy(value)
            for name, value in self.start.items()
            if name.startswith(("dense0/", "buf0/"))
        }
        model.load_state_dict(state)
        return model

    def batches(self, order: int) -> Iterator[Batch]:
        """Batches of one pass; the last one of the convolutional problem is smaller."""
        rows, size = self.start["orders"][order].astype(np.int64), int(self.start["batch_size"])
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield self.X[part], self.y[part]

    def mask(self, step: int) -> NDArray[np.bool_]:
        """All masks after a step."""
        count = sum(mask.numel() for mask in self.masks.values())
        return np.unpackbits(self.run["step_mask"][step], count=count).astype(bool)

    def weights(self, step: int) -> NDArray[np.float64] | None:
        """All parameters after a step, or None if they are not stored."""
        return self.run["step_w"][self.stored[step]] if step in self.stored else None

    def mean_gradient(self, epoch: int) -> NDArray[np.float64] | None:
        """Mean of the batches' gradients at the epoch's snapshot, or None if it is not stored."""
        total = self.run.get(f"u_sum{epoch + 1}")
        return None if total is None else total / len(self.run[f"loss_curr{epoch + 1}"])

    def buffers(self, epoch: int) -> dict[str, NDArray[np.float64]]:
        """The running statistics after an epoch."""
        group = f"buf{epoch + 1}/"
        return {k.removeprefix(group): v for k, v in self.run.items() if k.startswith(group)}
