"""The official code's own trajectories with its quirks, step by step, through the public class.

``asis`` is the authors' correction as published, which is our ``a-itop``; ``zerofix`` clears the
stale gradient before the snapshot pass, and keeps the rest: the first snapshot is dense, and the
running statistics advance in both passes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.npyio import NpzFile
from torch import nn

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

FILES = sorted([*FOLDER.glob("*_asis_*.npz"), *FOLDER.glob("*_zerofix_*.npz")])


def put(model: nn.Module, file: NpzFile, group: str) -> None:
    """Load the weights of ``group``, in place."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(file[f"{group}/{name}"]))


def close(found: np.ndarray, official: np.ndarray) -> None:
    np.testing.assert_allclose(found, official, rtol=0, atol=WEIGHTS)


@pytest.mark.parametrize("path", FILES or [NOTHING], ids=lambda path: getattr(path, "stem", ""))
def test_every_step_of_the_published_code_is_reproduced_quirks_included(path: Path) -> None:
    file = np.load(path)
    meta = json.loads(str(file["meta"]))
    names = list(file["param_names"])
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
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, meta["milestones"], meta["lr_gamma"])
    put(model, file, "dense0")  # the correction comes before the masks
    correction = AGC(
        model, variant="a-itop", gamma=meta["gamma"], alpha=meta["alpha"], tau0=meta["tau0"]
    )
    put(model, file, "w0")
    assert meta["variant"] in ("asis", "zerofix")
    if meta["variant"] == "zerofix":
        correction.behaviour = replace(correction.behaviour, leaks=False)
    step = 0
    for epoch in range(meta["epochs"]):
        correction.begin_epoch(batches(file, 2 * epoch), mean_loss)
        assert correction.tau == pytest.approx(file["tau"][epoch], abs=TAU)
        full = flat(correction.mean[name] for name in names)
        official = [file[f"u_sum{epoch + 1}/{name}"].reshape(-1) for name in names]
        close(full, np.concatenate(official) / len(file[f"loss_curr{epoch + 1}"]))
        for batch in batches(file, 2 * epoch + 1):
            optimizer.zero_grad()
            mean_loss(model, batch).backward()
            raw = {name: (p, p.grad.clone()) for name, p in prunable.items()}
            correction.correct(batch, mean_loss)
            optimizer.step()
            apply_masks(prunable, masks, optimizer)
            frequency = meta["rigl_update_frequency"]
            if meta["maskmode"] == "rigl" and (step + 1) % frequency == 0:
                update(masks, raw, float(file["step_death_rate"][step]))
                apply_masks(prunable, masks, optimizer)
                correction.on_topology_update(masks)
            assert np.array_equal(flat(masks.values()), file["step_mask"][step].astype(bool))
            close(flat(model.parameters()), file["step_w"][step])
            step += 1
        schedule.step()
        for name, parameter in model.named_parameters():
            close(
                optimizer.state[parameter]["momentum_buffer"].numpy(),
                file[f"mom{epoch + 1}/{name}"],
            )
            close(
                correction.reference.parameters[name].detach().numpy(),
                file[f"snap{epoch + 1}/{name}"],
            )
        for name, buffer in model.named_buffers():
            close(buffer.numpy(), file[f"buf{epoch + 1}/{name}"])
    assert step == len(file["step_w"])


def test_the_leak_is_what_tells_the_two_apart() -> None:
    if not FILES:
        pytest.skip(f"no reference trajectories in {FOLDER}")
    asis, zerofix = (np.load(FOLDER / f"mlp_fixed_{v}_g0.1.npz") for v in ("asis", "zerofix"))
    first = np.abs(asis["step_w"] - zerofix["step_w"]).max(axis=1)
    steps = asis["train_losses"].shape[1]
    assert first[:steps].max() == 0.0  # there is no gradient before the first epoch
    assert first[steps:].max() > 1e-6
