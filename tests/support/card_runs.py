"""Short trainings on a CUDA device, as they are, recorded, or with a checkpoint in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agc.grids.cell import make_cell
from agc.records import checkpoint
from agc.training.build import build
from agc.training.graphed import use_graphs
from agc.training.loop import train
from agc.training.observer import Observer
from agc.training.run import Run

DEVICE = "cuda"
EPOCHS = 2
ONLINE = {"name": "agc", "options": {"estimator": "online"}}
CELLS = {
    f"{name} {objective}": {"correction": correction, "objective": objective}
    for name, correction in {"none": "none", "agc": "agc", "online": ONLINE}.items()
    for objective in ("standard", "pgd-at")
}
"""RigL with and without the correction, with and without an attack."""

Left = dict[str, Tensor]


def cell(fields: dict[str, Any], **training: Any) -> dict[str, Any]:
    """Two epochs of six steps, the third and the sixth of which update the topology."""
    return {
        "dataset": "digits",
        "architecture": {"name": "resnet8", "options": {"width": 4}},
        "method": {"name": "rigl", "options": {"update_interval": 3}},
        "sparsity": 0.9,
        **fields,
        "training": {
            "epochs": EPOCHS,
            "batch_size": 64,
            "validation": 1437 - 6 * 64,
            "augmentation": {"crop": 1},
            **training,
        },
    }


def built(fields: dict[str, Any], recorded: bool = False) -> Run:
    """A run on the device that has not been trained."""
    run = build(make_cell(fields), DEVICE)
    if recorded:
        assert use_graphs(run)
    return run


def trained(fields: dict[str, Any], recorded: bool = False, path: Path | None = None) -> Left:
    """What a training leaves: weights, buffers, masks and losses, on the CPU.

    Args:
        fields: of the cell.
        recorded: whether its steps are CUDA graphs.
        path: where a checkpoint between the two epochs lies, which another run goes on from.
    """
    run, first = built(fields, recorded), 1
    if path is not None:
        for epoch, _ in train(run):
            checkpoint.save(path, run, epoch, {})
            break
        run = built(fields, recorded)
        first = checkpoint.load(path, run)[0] + 1
    *_, (_, losses) = train(run, first)
    left = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    left |= {f"mask.{name}": mask for name, mask in run.method.masks.items()}
    return {name: tensor.cpu() for name, tensor in (left | {"losses": losses}).items()}


def unlike(left: Left, right: Left) -> list[str]:
    """Names of what has other bits."""
    return [name for name in left if not torch.equal(left[name], right[name])]


class Watching(Observer):
    """Looks at each step of an epoch that leaves the topology alone.

    Args:
        run: whose steps; an observer of its step from now on.
        begin: called before such a step.
        end: called after any.
    """

    def __init__(self, run: Run, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.run, self.begin, self.end = run, begin, end
        self.seen = 0
        run.step.observers.append(self)

    def epoch_begun(self) -> None:
        """The first step comes."""
        self._next()

    def stepped(self, changed: bool) -> None:
        """Another step may come."""
        self.end()
        self._next()

    def _next(self) -> None:
        if not self.run.method.due_at(self.run.method.steps + 1):
            self.seen += 1
            self.begin()
