"""Every entry of every axis on a device that is not the CPU, whether there is one or not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.grids.axes import AXES
from agc.registry import CORRECTIONS
from tests.support import simulated_runs
from tests.support.pairs import BATCH, make
from tests.support.simulated_device import SETUP

STEPS = 4

ENTRIES = [
    (axis.name, name)
    for axis in AXES.values()
    if axis.default is not None
    for name in axis.registry.names()
]

MOST = 4
"""Waits of a step that updates the topology, on eight layers: for active weights that nobody has
counted, for gradients that are not finite, for NaN, and for something of the method's own."""

HOST = {"vr-pge"}
"""Entries whose own numbers live on the host. Channels are chosen there."""

EVERY_STEP = {"bsr", "deepr", "n:m", "top-kast"}
"""Methods that may change masks in each step here, and have to know whether they did."""

pytestmark = pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, SETUP),
    reason="this torch has no private backend in Python",
)


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    with simulated_runs.worker() as process:
        yield process


def cell(axis: str, name: str, epochs: int = 1) -> dict[str, Any]:
    """Four steps of four images, of which the first ones update the topology; the method is RigL
    and the correction AGC, if the entry is not another one.
    """
    names = {"method": "rigl", "correction": "agc", axis: name}
    found = make(names).model_dump(mode="json")
    training = found["training"]
    training["validation"] = 1437 - STEPS * BATCH
    training["epochs"] = max(training["epochs"], epochs)
    # The order of fixed batches is asked for once an epoch.
    training["fixed_batches"] = CORRECTIONS[names["correction"]].target.fixed_batches
    return found


@pytest.mark.parametrize(("axis", "name"), ENTRIES, ids=lambda text: text)
def test_an_entry_trains_as_on_the_cpu_and_makes_the_host_wait_for_updates_alone(
    worker: Executor, axis: str, name: str
) -> None:
    found = worker.submit(simulated_runs.trained, cell(axis, name)).result()
    assert not found.unlike
    steps = found.steps
    assert len(steps.changed) == STEPS
    if name in HOST:
        return
    before = False
    for changed, waits in zip(steps.changed, steps.waits, strict=True):
        # Of an update the active weights are counted behind its step, for the FLOPs.
        allowed = MOST if changed else int(before)
        if name in EVERY_STEP:
            allowed = 1 + (not before)
        assert sum(waits.values()) <= allowed, waits
        before = changed


@pytest.mark.parametrize(
    ("axis", "name"),
    [entry for entry in ENTRIES if entry[0] in ("method", "correction", "objective")],
    ids=lambda text: text,
)
@pytest.mark.slow
def test_an_entry_goes_on_from_a_checkpoint_with_the_same_bits(
    worker: Executor, axis: str, name: str, tmp_path: Path
) -> None:
    given = cell(axis, name, epochs=2)
    found = worker.submit(simulated_runs.resumed, given, tmp_path / "checkpoint.pt").result()
    assert not found.unlike


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_optimizer_counts_its_steps_on_the_cpu(
    worker: Executor, optimizer: str, tmp_path: Path
) -> None:
    given = cell("correction", "agc-recorded", epochs=2)
    given["training"]["optimizer"] |= {"name": optimizer}
    found = worker.submit(simulated_runs.resumed, given, tmp_path / "checkpoint.pt").result()
    assert not found.unlike
    assert not any(found.steps.waits[-1].values())


@pytest.mark.parametrize(("network", "most"), [("resnet18", 380), ("resnet50", 900)])
def test_a_corrected_step_of_a_sparse_network_launches_little_beside_its_two_gradients(
    worker: Executor, network: str, most: int
) -> None:
    given = cell("correction", "agc")
    given["architecture"] = {"name": network, "options": {}}
    given["method"]["options"]["update_interval"] = STEPS
    step, gradient = worker.submit(simulated_runs.counted, given).result()
    assert step <= most
    assert step - 2 * gradient <= 60
