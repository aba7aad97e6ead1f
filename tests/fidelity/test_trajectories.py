"""The official code's own trajectories, step by step, through the public classes.

``plain`` is training without correction. ``allfix`` is the authors' correction with its leaks
mended, which is our ``corrected``; ``asis`` is the one that they published, which is our
``a-itop``. ``zerofix`` clears the stale gradient before the snapshot pass and keeps the rest: the
first snapshot is dense, and the running statistics advance in both passes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agc import AGC
from agc.corrections.shared.official import AITOP
from agc.sparsity.masks import apply_masks, prunable_parameters
from tests.fidelity.trajectories import RUNS, Trajectory, flat, mean_loss, update

WEIGHTS, TAU = 1e-10, 1e-9
VARIANTS = {"plain": None, "allfix": "corrected", "asis": "a-itop", "zerofix": "a-itop"}


def close(found: NDArray[np.float64], official: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found, official, rtol=0, atol=WEIGHTS)


class Cleared(AITOP):
    """The published code with ``zero_grad`` before the snapshot pass."""

    def left_over(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        return {}


def correction_of(model: nn.Module, file: Trajectory) -> AGC | None:
    """Our name for what the run was corrected by."""
    meta, variant = file.meta, VARIANTS[file.meta["variant"]]
    if variant is None:
        return None
    made = AGC(model, variant=variant, gamma=meta["gamma"], alpha=meta["alpha"], tau0=meta["tau0"])
    if meta["variant"] == "zerofix":
        made.behaviour = Cleared()
    return made


@pytest.mark.parametrize("name", RUNS)
def test_every_step_of_the_official_code_is_reproduced(name: str) -> None:
    file = Trajectory(name)
    meta, masks = file.meta, file.masks
    model = file.model()
    prunable = prunable_parameters(model)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=meta["lr"],
        momentum=meta["momentum"],
        weight_decay=meta["weight_decay"],
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, meta["milestones"], meta["lr_gamma"])
    if meta["variant"] == "allfix":
        apply_masks(prunable, masks)
    # The published code makes it before the masks.
    correction = correction_of(model, file)
    apply_masks(prunable, masks)
    step = 0
    for epoch in range(meta["epochs"]):
        snapshot = flat(model.parameters())
        if correction is not None:
            correction.begin_epoch(file.batches(2 * epoch), mean_loss)
            assert correction.tau == pytest.approx(file.run["tau"][epoch], abs=TAU)
            if (official := file.mean_gradient(epoch)) is not None:
                close(flat(correction.mean[name] for name in file.start["param_names"]), official)
        for number, batch in enumerate(file.batches(2 * epoch + 1)):
            optimizer.zero_grad()
            loss = mean_loss(model, batch)
            loss.backward()
            raw = {name: (p, p.grad.clone()) for name, p in prunable.items()}
            if correction is not None:
                official = file.run["train_losses"][epoch, number]
                assert loss.item() == pytest.approx(official, rel=0, abs=WEIGHTS)
                correction.correct(batch, mean_loss)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(file.run["step_lr"][step])
            optimizer.step()
            apply_masks(prunable, masks, optimizer)
            frequency = meta["rigl_update_frequency"]
            if meta["maskmode"] == "rigl" and (step + 1) % frequency == 0:
                update(masks, raw, float(file.run["step_death_rate"][step]))
                apply_masks(prunable, masks, optimizer)
                if correction is not None:
                    correction.on_topology_update(masks)
            assert np.array_equal(flat(masks.values()), file.mask(step))
            if (official := file.weights(step)) is not None:
                close(flat(model.parameters()), official)
            step += 1
        schedule.step()
        if correction is not None:
            close(flat(correction.reference.parameters.values()), snapshot)
        for name, official in file.buffers(epoch).items():
            close(model.get_buffer(name).numpy(), official)
    momenta = (optimizer.state[p]["momentum_buffer"] for p in model.parameters())
    close(flat(momenta), file.run["momentum"])
    assert step == len(file.run["step_mask"])


def test_what_is_recorded_is_all_there() -> None:
    """Twelve runs; but for the dense network with fixed masks, no step that tells goes unseen."""
    kinds = [
        f"{problem}_{variant}"
        for problem in ("cnn_fixed", "mlp_fixed", "mlp_rigl")
        for variant in VARIANTS
    ]
    assert sorted(RUNS) == sorted(kinds)
    for name in RUNS:
        file = Trajectory(name)
        steps = len(file.run["step_mask"])
        ends = {steps // 3 * (epoch + 1) - 1 for epoch in range(3)}
        first = {0, *(end + 1 for end in ends)} - {steps}
        updates = set(range(3, steps, 4))
        if name.startswith("cnn"):
            assert set(file.stored) == set(range(steps))
        elif "rigl" in name:
            assert set(file.stored) >= first | ends | updates
        assert steps - 1 in file.stored
        whole = not name.startswith("mlp_fixed") and not name.endswith("plain")
        assert all((file.mean_gradient(epoch) is not None) == whole for epoch in range(3))


def test_the_leak_is_what_tells_the_two_apart() -> None:
    asis, zerofix = (Trajectory(f"cnn_fixed_{variant}") for variant in ("asis", "zerofix"))
    first = np.abs(asis.run["step_w"] - zerofix.run["step_w"]).max(axis=1)
    steps = asis.run["train_losses"].shape[1]
    assert first[:steps].max() == 0.0  # there is no gradient before the first epoch
    assert first[steps:].max() > 1e-6
