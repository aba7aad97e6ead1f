"""Cells that several processes train together with gloo, in processes that are forked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from agc.grids.cell import Cell
from tests.support.forked import server
from tests.support.waiting import HANG


def train_together(cells: Sequence[Cell], folder: Path, processes: int = 2) -> list[list[Any]]:
    """Train each cell, all in the same processes.

    Returns:
        What each process has of each cell (:func:`result_of`), by process.
    """
    context = server()
    started = [
        context.Process(target=_member, args=(rank, processes, folder, list(cells)))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(HANG)
        assert process.exitcode == 0, f"a process ended with {process.exitcode}"
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def result_of(cell: Cell, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train a cell here: weights, masks, losses, what the optimizer keeps, and bits.

    Args:
        cell: what to train.
        checkpoint: stop after the first epoch, and let another run go on from this file.
    """
    from agc.processes.team import Team
    from agc.records import checkpoint as files
    from agc.training.build import build
    from agc.training.loop import train

    run, first, losses = build(cell), 1, []
    if checkpoint is not None:
        for _, found in train(run):
            losses.append(found)
            files.save(checkpoint, run, 1, {}, Team())
            break
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        run = build(cell)
        first = files.load(checkpoint, run)[0] + 1
    losses += [found for _, found in train(run, first)]
    return {
        "weights": dict(run.model.state_dict()),
        "masks": run.method.masks,
        "loss": run.step.mean(torch.cat(losses).double().mean()),
        "kept": run.optimizer.state_dict()["state"],
        "bits": run.communication.traffic(),
        "units": run.meter.units(run.loader.images_per_epoch),
    }


def _member(rank: int, count: int, folder: Path, cells: list[Cell]) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "meeting"), count)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    found = []
    for number, cell in enumerate(cells):
        found.append([result_of(cell), result_of(cell, folder / f"{number}.checkpoint")])
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
