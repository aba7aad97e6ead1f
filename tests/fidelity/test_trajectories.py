"""The official code's own trajectories, step by step, through the public classes.

``plain`` is training without correction. ``allfix`` is the authors' correction with its leaks
mended, which is our ``corrected``; ``asis`` is the one that they published, which is our
``a-itop``. ``zerofix`` clears the stale gradient before the snapshot pass and keeps the rest: the
first snapshot is dense, and the running statistics advance in both passes.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agc import AGC, RigLITOP, Static, Step
from agc.corrections.shared.official import AITOP
from agc.methods.base import SparseMethod
from tests.fidelity import published
from tests.fidelity.trajectories import RUNS, Trajectory, flat, mean_loss

WEIGHTS, TAU = 1e-10, 1e-9
VARIANTS = {"plain": None, "allfix": "corrected", "asis": "a-itop", "zerofix": "a-itop"}

RECOMPUTED = [
    *(("cnn", variant, 0.1) for variant in VARIANTS),
    *product(("cnn", "mlp"), [v for v in VARIANTS if v != "plain"], [1.0]),
]
"""Runs under gradient growth that were not recorded: problem, variant and gamma."""


def close(found: NDArray[np.float64], official: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found, official, rtol=0, atol=WEIGHTS)


class Cleared(AITOP):
    """The published code with ``zero_grad`` before the snapshot pass."""

    def left_over(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        return {}


def correction_of(model: nn.Module, file: Trajectory) -> AGC | None:
    """Our name for what the run was corrected by."""
    variant = VARIANTS[file.variant]
    if variant is None:
        return None
    made = AGC(model, variant=variant, gamma=file.gamma, alpha=published.ALPHA, tau0=published.TAU0)
    if file.variant == "zerofix":
        made.behaviour = Cleared()
    return made


def method_of(model: nn.Module, optimizer: torch.optim.Optimizer, file: Trajectory) -> SparseMethod:
    """Our name for how the masks change, with the run's masks on the run's dense weights."""
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if file.grows:
        method = RigLITOP(
            model,
            optimizer,
            sparsity=0.7,
            total_steps=len(file.run["step_mask"]),
            update_interval=published.EVERY,
            drop_fraction=published.RATE,
            drop_floor=published.FLOOR,
        )
    else:
        method = Static(model, optimizer, sparsity=0.7)
    model.load_state_dict(dense)
    method.set_masks(file.masks)
    return method


def reproduce(file: Trajectory) -> None:
    """Train by the public classes, and compare with every step of the run."""
    model = file.model()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=published.LR,
        momentum=published.MOMENTUM,
        weight_decay=published.DECAY,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [published.MILESTONE], 0.1)
    # The published code makes it before the masks.
    correction = correction_of(model, file)
    method = method_of(model, optimizer, file)
    step = Step(model, optimizer, mean_loss, method, correction)
    for epoch in range(published.EPOCHS):
        snapshot = flat(model.parameters())
        step.begin_epoch(file.batches(2 * epoch))
        if correction is not None:
            assert correction.tau == pytest.approx(file.run["tau"][epoch], abs=TAU)
            if (official := file.mean_gradient(epoch)) is not None:
                close(flat(correction.mean[name] for name in file.start["param_names"]), official)
        for number, batch in enumerate(file.batches(2 * epoch + 1)):
            done = method.steps
            assert optimizer.param_groups[0]["lr"] == pytest.approx(file.run["step_lr"][done])
            loss = step(batch)
            if file.run["train_losses"].size:
                official = file.run["train_losses"][epoch, number]
                assert loss.item() == pytest.approx(official, rel=0, abs=WEIGHTS)
            if step.changed:
                rate = method.current_fraction()
                assert rate == pytest.approx(file.run["step_death_rate"][done], rel=1e-12)
            assert step.changed == (file.grows and (done + 1) % published.EVERY == 0)
            assert np.array_equal(flat(method.masks.values()), file.mask(done))
            if (official := file.weights(done)) is not None:
                close(flat(model.parameters()), official)
        schedule.step()
        if correction is not None:
            close(flat(correction.reference.parameters.values()), snapshot)
        for name, official in file.buffers(epoch).items():
            close(model.get_buffer(name).numpy(), official)
    momenta = (optimizer.state[p]["momentum_buffer"] for p in model.parameters())
    close(flat(momenta), file.run["momentum"])
    assert method.steps == len(file.run["step_mask"])


@pytest.mark.parametrize("name", RUNS)
def test_every_step_of_the_official_code_is_reproduced(name: str) -> None:
    reproduce(Trajectory.recorded(name))


@pytest.mark.parametrize("name", RUNS)
def test_the_recipe_as_we_state_it_is_the_recorded_one(name: str) -> None:
    """So that it may stand for the authors' code where no run was recorded."""
    file = Trajectory.recorded(name)
    stated = published.recomputed(file.start, file.grows, file.variant, file.gamma)
    seen = {key: value for key, value in file.run.items() if key not in ("meta", "steps")}
    for key, official in seen.items():
        found = stated[key][file.run["steps"]] if key == "step_w" else stated[key]
        if key == "step_mask":
            assert np.array_equal(found, official)
        elif official.size:  # what ``plain`` does not have is empty
            assert found.shape == official.shape
            np.testing.assert_allclose(found, official, rtol=0, atol=WEIGHTS, err_msg=key)
    assert {"step_w", "step_mask", "step_lr", "step_death_rate", "tau", "momentum"} <= seen.keys()


@pytest.mark.parametrize(("problem", "variant", "gamma"), RECOMPUTED)
def test_every_step_of_the_recipe_is_reproduced(problem: str, variant: str, gamma: float) -> None:
    file = Trajectory(problem, "rigl", variant, gamma=gamma)
    changed = [not np.array_equal(file.mask(step - 1), file.mask(step)) for step in (3, 7, 11)]
    assert all(changed)
    reproduce(file)


def test_what_is_recorded_is_all_there() -> None:
    """Twelve runs; but for the dense network with fixed masks, no step that tells goes unseen."""
    kinds = [
        f"{problem}_{variant}"
        for problem in ("cnn_fixed", "mlp_fixed", "mlp_rigl")
        for variant in VARIANTS
    ]
    assert sorted(RUNS) == sorted(kinds)
    for name in RUNS:
        file = Trajectory.recorded(name)
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
    asis, zerofix = (Trajectory.recorded(f"cnn_fixed_{variant}") for variant in ("asis", "zerofix"))
    first = np.abs(asis.run["step_w"] - zerofix.run["step_w"]).max(axis=1)
    steps = asis.run["train_losses"].shape[1]
    assert first[:steps].max() == 0.0  # there is no gradient before the first epoch
    assert first[steps:].max() > 1e-6
