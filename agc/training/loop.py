"""The algorithm: sparse training with a gradient correction (arXiv 2301.03573)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agc import rng
from agc.datasets.shared.loader import Batch
from agc.processes.team import Draws
from agc.training.run import Run


def train(
    run: Run, first_epoch: int = 1, after_step: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Tensor]]:
    """Train from ``first_epoch`` to the last; yield each epoch with its steps' losses.

    Losses stay on the device: nothing in an epoch waits for it. ``after_step`` may end the training
    by raising.
    """
    step, last = run.step, run.cell.training.epochs
    if first_epoch == 1:
        step.begin(DataPass(run, 0))
        run.ledger.settle(run.method)
    for epoch in range(first_epoch, last + 1):
        step.begin_epoch(DataPass(run, epoch, run.correction.pass_images))
        losses = []
        for batch in prepared(run, epoch, "train"):
            losses.append(step(batch))
            if step.changed:
                run.ledger.settle(run.method)
            after_step()
        if epoch == last:
            step.end(DataPass(run, epoch + 1))
        yield epoch, torch.stack(losses)
        run.schedule.step()


def prepared(run: Run, epoch: int, purpose: str) -> Iterator[Batch]:
    """Batches of one pass, each attacked at the weights of the moment if the objective does."""
    for step, batch in enumerate(run.loader.epoch(epoch, purpose)):
        attack = Draws(run.loader.device)
        attack.manual_seed(rng.derive(run.cell.seed, f"{purpose}/attack", epoch, step))
        attack.share = run.loader.share
        yield run.objective.prepare(run.model, batch, attack)


@dataclass
class DataPass:
    """The data beside the steps; each iteration is a pass with draws of its own.

    With a locked augmentation the draws are those of the epoch's steps: batches, augmentation,
    noise, and starts of attacks.

    Attributes:
        images: ``prepared`` by the objective as in a step, ``clean`` before the attack, or ``raw``
            before augmentation too.
    """

    run: Run
    epoch: int
    images: Literal["prepared", "clean", "raw"] = "prepared"
    passes: int = 0

    def __len__(self) -> int:
        return len(self.run.loader)

    def showing(self, images: Literal["prepared", "clean", "raw"]) -> DataPass:
        """The same passes, from the first on, with another kind of images."""
        return DataPass(self.run, self.epoch, images)

    def __iter__(self) -> Iterator[Batch]:
        self.passes += 1
        purpose = "snapshot" if self.passes == 1 else f"snapshot {self.passes}"
        if self.run.cell.training.augmentation.locked:
            purpose = "train"
        if self.images == "prepared":
            return prepared(self.run, self.epoch, purpose)
        batches = self.run.loader.epoch(self.epoch, purpose, augmented=self.images == "clean")
        # Without an attack the images are their own clean ones, as losses of two passes ask for.
        return (batch._replace(clean=batch.images) for batch in batches)
