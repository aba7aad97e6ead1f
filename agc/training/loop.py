"""The algorithm: sparse training with a gradient correction (arXiv 2301.03573)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from agc import rng
from agc.datasets.loader import Batch
from agc.training.build import Run


def train(run: Run, first_epoch: int = 1) -> Iterator[tuple[int, Tensor]]:
    """Train from ``first_epoch`` to the last; yield each epoch with its steps' losses.

    Losses stay on the device: nothing in an epoch waits for it.
    """
    model, optimizer, sparse, correction = run.model, run.optimizer, run.method, run.correction
    for epoch in range(first_epoch, run.cell.training.epochs + 1):
        correction.begin_epoch(SnapshotPass(run, epoch), run.loss_fn)
        losses = []
        for batch in prepared(run, epoch, "train"):
            optimizer.zero_grad()
            correction.before_forward(batch, run.loss_fn)
            loss = run.loss_fn(model, batch)
            loss.backward()
            sparse.observe()
            correction.correct(batch, run.loss_fn)
            if run.cell.training.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), run.cell.training.clip_norm)
            optimizer.step()
            if sparse.step():
                correction.on_topology_update(sparse.masks)
                run.meter.updates += 1
            correction.after_step()
            losses.append(loss.detach())
        yield epoch, torch.stack(losses)
        run.schedule.step()


def prepared(run: Run, epoch: int, purpose: str) -> Iterator[Batch]:
    """Batches of one pass, each attacked at the weights of the moment if the objective does."""
    for step, batch in enumerate(run.loader.epoch(epoch, purpose)):
        attack = rng.generator(run.cell.seed, f"{purpose}/attack", epoch, step, run.loader.device)
        yield run.objective.prepare(run.model, batch, attack)


@dataclass
class SnapshotPass:
    """The data as a correction asks for them; each iteration is a pass with draws of its own.

    With a locked augmentation the draws are those of the epoch's steps: batches, augmentation,
    noise, and starts of attacks.
    """

    run: Run
    epoch: int
    passes: int = 0

    def __len__(self) -> int:
        return len(self.run.loader)

    def __iter__(self) -> Iterator[Batch]:
        self.passes += 1
        purpose = "snapshot" if self.passes == 1 else f"snapshot {self.passes}"
        if self.run.cell.training.augmentation.locked:
            purpose = "train"
        images = self.run.correction.pass_images
        if images == "prepared":
            return prepared(self.run, self.epoch, purpose)
        return self.run.loader.epoch(self.epoch, purpose, augmented=images == "clean")
