"""The official code's own trajectories, step by step, through the public classes.

Each file holds one run of the authors' released code: data, batch orders, initial weights and
masks, and the weights, masks, momentum, losses and τ that came out. ``plain`` is training without
correction, ``allfix`` the authors' correction with its leaks mended, which is our ``corrected``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from agc import AGC
from agc.sparsity.masks import apply_masks, prunable_parameters
from tests.support.trajectories import (
    FOLDER,
    NOTHING,
    TAU,
    WEIGHTS,
    batches,
    flat,
    initial_model,
    mean_loss,
    update,
)

FILES = sorted([*FOLDER.glob("*_plain.npz"), *FOLDER.glob("*_allfix_*.npz")])


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
