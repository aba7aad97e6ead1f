"""The official code's own trajectories, step by step, through the public classes.

Each file holds one run of the authors' released code: data, batch orders, initial weights and
masks, and the weights, masks, momentum, losses and τ that came out. ``plain`` is training without
correction, ``allfix`` the authors' correction with its leaks mended, which is our ``corrected``.
"""

from __future__ import annotations

import json
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

from agc import AGC
from agc.sparsity.masks import apply_masks, prunable_parameters
from agc.sparsity.update import drop_and_grow

WEIGHTS, TAU = 1e-10, 1e-9
DEFAULT = Path(__file__).parents[3] / "shared" / "fidelity"
FOLDER = Path(os.environ.get("AGC_FIDELITY", DEFAULT))
FILES = sorted([*FOLDER.glob("*_plain.npz"), *FOLDER.glob("*_allfix_*.npz")])
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


@pytest.mark.parametrize("path", FILES or [NOTHING], ids=lambda path: getattr(path, "stem", ""))
def test_every_step_of_the_official_code_is_reproduced(path: Path) -> None:
    file = np.load(path)
    meta = json.loads(str(file["meta"]))
    corrected = meta["variant"] == "allfix"
    assert meta["variant"] in ("plain", "allfix")
    model = initial_model(file, meta["problem"])
    prunable = prunable_parameters(model)
    masks = {name: torch.from_numpy(file[f"mask0/{name}"]).bool() for name in prunable}
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=meta["lr"],
        momentum=meta["momentum"],
        weight_decay=meta["weight_decay"],
        nesterov=True,
    )
    correction = AGC(model, gamma=meta["gamma"], alpha=meta["alpha"], tau0=meta["tau0"])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, meta["milestones"], meta["lr_gamma"])
    step = 0
    for epoch in range(meta["epochs"]):
        if corrected:
            correction.begin_epoch(batches(file, 2 * epoch), mean_loss)
            assert correction.tau == pytest.approx(file["tau"][epoch], abs=TAU)
            full = flat(correction.mean.values())
            official = [file[f"u_sum{epoch + 1}/{name}"] for name in file["param_names"]]
            count = len(file[f"loss_curr{epoch + 1}"])
            official = np.concatenate([part.reshape(-1) for part in official]) / count
            np.testing.assert_allclose(full, official, rtol=0, atol=WEIGHTS)
        for batch in batches(file, 2 * epoch + 1):
            optimizer.zero_grad()
            loss = mean_loss(model, batch)
            loss.backward()
            raw = {name: (p, p.grad.clone()) for name, p in prunable.items()}
            if corrected:
                correction.correct(batch, mean_loss)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(file["step_lr"][step])
            optimizer.step()
            apply_masks(prunable, masks, optimizer)
            frequency = meta["rigl_update_frequency"]
            if meta["maskmode"] == "rigl" and (step + 1) % frequency == 0:
                update(masks, raw, float(file["step_death_rate"][step]))
                apply_masks(prunable, masks, optimizer)
            assert np.array_equal(flat(masks.values()), file["step_mask"][step].astype(bool))
            np.testing.assert_allclose(
                flat(model.parameters()), file["step_w"][step], rtol=0, atol=WEIGHTS
            )
            step += 1
        schedule.step()
        for name, parameter in model.named_parameters():
            momentum = optimizer.state[parameter]["momentum_buffer"].numpy()
            official = file[f"mom{epoch + 1}/{name}"]
            np.testing.assert_allclose(momentum, official, rtol=0, atol=WEIGHTS)
        for name, buffer in model.named_buffers():
            official = file[f"buf{epoch + 1}/{name}"]
            np.testing.assert_allclose(buffer.numpy(), official, rtol=0, atol=WEIGHTS)
    assert step == len(file["step_w"])
