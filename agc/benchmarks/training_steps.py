"""The suite's own training steps, one cell after the other, as ``agc train`` makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from agc.benchmarks.clock import Step
from agc.datasets.shared.loader import Batch
from agc.grids.cell import Cell, make_cell
from agc.planning.declared import PLAIN, units_per_step
from agc.training.build import build
from agc.training.graphed import use_graphs
from agc.training.loop import DataPass, prepared
from agc.training.run import Run

RIGL = {"name": "rigl", "options": {"update_interval": 100}}
ONLINE = {"name": "agc", "options": {"estimator": "online"}}

CASES: dict[str, dict[str, Any]] = {
    "dense none": {"method": "dense", "sparsity": 0.0},
    "rigl none": {},
    "rigl svrg": {"correction": "svrg"},
    "rigl agc": {"correction": "agc"},
    "rigl agc online": {"correction": ONLINE},
    "rigl none pgd-at": {"objective": "pgd-at"},
    "rigl agc pgd-at": {"correction": "agc", "objective": "pgd-at"},
    "bsr none": {"method": "bsr"},
}
"""What is measured: the price of the suite, of masks, of each kind of correction, of attacks, and
of a method that updates the topology in each step."""

BATCHES = 12
"""Of an epoch; the data are made up."""


@dataclass
class Measured:
    """A cell that is ready to be trained.

    Attributes:
        run: all of it.
        step: makes the next training step, in epochs without end.
        pass_ms: milliseconds a batch of what comes before an epoch's first step.
    """

    run: Run
    step: Step
    pass_ms: float

    @property
    def unit_ratio(self) -> float:
        """Declared units of a step, plain ones being 1."""
        return units_per_step(self.run.cell) / PLAIN


def case(name: str, network: str, batch: int, size: int, **training: Any) -> Cell:
    """The cell of a case.

    Args:
        name: of ``CASES``.
        network: an architecture; its options are its defaults.
        batch: images a batch.
        size: pixels a side.
        training: further fields of ``training``.
    """
    images = {"train": (BATCHES + 1) * batch, "test": 10, "size": size}
    augmentation = {"crop": min(4, size // 8), "flip": True, "padding": "reflect"}
    plain = {"objective": "standard", "method": RIGL, "sparsity": 0.9, "correction": "none"}
    given = {"batch_size": batch, "validation": batch, "augmentation": augmentation, "epochs": 1}
    return make_cell(
        {
            "dataset": {"name": "synthetic", "options": images},
            "architecture": network,
            **plain,
            **CASES[name],
            "training": given | training,
        }
    )


def started(cell: Cell, device: str, graphs: bool = False) -> Measured:
    """Build a cell and make all that comes before its first step.

    Args:
        cell: what.
        device: where.
        graphs: whether its steps are recorded as CUDA graphs, if they can be.
    """
    run = build(cell, device)
    if graphs:
        use_graphs(run)
    run.step.begin(DataPass(run, 0))
    begin = time.perf_counter()
    run.step.begin_epoch(DataPass(run, 1, run.correction.pass_images))
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    passed = 1000 * (time.perf_counter() - begin) / len(run.loader)
    batches = endless(run)
    return Measured(run, lambda: run.step(next(batches)), passed)


def endless(run: Run, purpose: str = "train") -> Iterator[Batch]:
    """The batches of one epoch after the other, attacked where the objective does that."""
    for epoch in count(1):
        yield from prepared(run, epoch, purpose)
