"""Short trainings on the simulated accelerator, beside the same ones on the CPU.

They run in a process of their own: torch's autograd engine knows the devices that were there at its
first backward pass, and no other test is to meet this one.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.forked import server


@dataclass
class Steps:
    """What each step of a training asked of the device.

    Attributes:
        changed: whether it changed the topology.
        waits: lines of ``agc`` that made the host wait, and how often.
        operations: kernels that it launched.
    """

    changed: list[bool] = field(default_factory=list)
    waits: list[dict[str, int]] = field(default_factory=list)
    operations: list[int] = field(default_factory=list)


@dataclass
class Found:
    """A training on the device.

    Attributes:
        steps: those of its last epoch.
        unlike: names of what has other bits than on the CPU: weights, buffers, masks, losses.
    """

    steps: Steps
    unlike: list[str]


def worker() -> ProcessPoolExecutor:
    """The process; its calls are those of the functions below."""
    return ProcessPoolExecutor(1, mp_context=server(), initializer=_set_up)


def _set_up() -> None:
    import torch

    from agc.machine.device import prepare_machine
    from tests.support import simulated_device

    prepare_machine("cpu", threads=1)
    if hasattr(torch.utils.backend_registration, simulated_device.SETUP):
        simulated_device.set_up()


def trained(cell: dict[str, Any]) -> Found:
    """Train on the CPU and on the device."""
    from tests.support.simulated_device import simulated_device

    left = _run(cell, "cpu")[1]
    with simulated_device():
        steps, right = _run(cell, "sim:0")
    return Found(steps, _unlike(left, right))


def resumed(cell: dict[str, Any], path: Path) -> Found:
    """Train on the device, and again with a checkpoint in ``path`` between the last two epochs."""
    from agc.grids.cell import make_cell
    from agc.records import checkpoint
    from agc.training.build import build
    from agc.training.loop import train
    from tests.support.simulated_device import simulated_device

    with simulated_device():
        whole = _run(cell, "sim:0")[1]
        run = build(make_cell(cell), "sim:0")
        last = run.cell.training.epochs
        for epoch, _ in train(run):
            if epoch == last - 1:
                break
        checkpoint.save(path, run, last - 1, {})
        steps, right = _run(cell, "sim:0", path)
    return Found(steps, _unlike(whole, right))


def counted(cell: dict[str, Any]) -> tuple[int, int]:
    """Kernels of a step that leaves the topology alone, and of one gradient."""
    from agc.grids.cell import make_cell
    from agc.training.build import build
    from agc.training.loop import DataPass, prepared
    from tests.support.simulated_device import simulated_device

    with simulated_device() as log:
        run = build(make_cell(cell), "sim:0")
        run.step.begin(DataPass(run, 0))
        run.step.begin_epoch(DataPass(run, 1))
        batches = prepared(run, 1, "train")
        run.step(next(batches))  # the first one makes what the others keep
        log.clear()
        run.step(batch := next(batches))
        step = sum(log.operations.values())
        log.clear()
        run.correction.reference.gradient(batch, run.loss_fn)
        return step, sum(log.operations.values())


def _run(cell: dict[str, Any], device: str, path: Path | None = None) -> tuple[Steps, dict]:
    """Train from the start, or from the checkpoint in ``path``; what it left, on the CPU."""
    from agc.grids.cell import make_cell
    from agc.records import checkpoint
    from agc.training.build import build
    from agc.training.loop import train
    from agc.training.observer import Observer
    from tests.support.simulated_device import LOG

    class Recorder(Observer):
        def __init__(self) -> None:
            self.steps = Steps()

        def epoch_begun(self) -> None:
            self.steps = Steps()
            LOG.clear()

        def stepped(self, changed: bool) -> None:
            self.steps.changed.append(changed)
            self.steps.waits.append(dict(LOG.waits))
            self.steps.operations.append(sum(LOG.operations.values()))
            LOG.clear()

    run = build(make_cell(cell), device)
    first = 1 if path is None else checkpoint.load(path, run)[0] + 1
    run.step.observers.append(recorder := Recorder())
    losses = [loss.cpu() for _, loss in train(run, first)]
    left = {f"model.{name}": t.cpu() for name, t in run.model.state_dict().items()}
    left |= {f"mask.{name}": mask.cpu() for name, mask in run.method.masks.items()}
    return recorder.steps, left | {"losses of the last epoch": losses[-1]}


def _unlike(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    import torch

    def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(
            one.nan_to_num(), other.nan_to_num()
        )

    return [name for name in left if not alike(left[name], right[name])]
