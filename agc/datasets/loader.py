"""Batches from a split in memory; order and augmentation come from (seed, purpose, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from agc import rng
from agc.datasets.augment import random_crop, random_flip
from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agc.cell import Augmentation
    from agc.datasets.store import Split


class Batch(NamedTuple):
    """What one step sees.

    Attributes:
        images: float [N, C, H, W] in [0, 1]; adversarial ones once an objective has prepared them.
        labels: int64 [N].
        clean: the images before an attack, for objectives whose loss needs both.
        noise: seed of the random layers (dropout) in every pass over this batch.
        index: which batch it is, if batches are fixed; else -1.
    """

    images: Tensor
    labels: Tensor
    clean: Tensor | None = None
    noise: int = 0
    index: int = -1


class Loader:
    """Shuffled, augmented batches of equal size.

    Args:
        split: uint8 images on the device where the batches are wanted.
        batch_size: images a batch; a smaller rest is left out of the epoch, so that every
            step weighs the same and shapes stay fixed.
        augmentation: what to do to each image.
        seed: the cell's seed.
        fixed: whether the same images share a batch in every epoch; then the order of the batches
            is shuffled, and each says which one it is.

    Raises:
        UserError: fewer images than one batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        fixed: bool = False,
    ) -> None:
        if batch_size > len(split):
            raise UserError(f"batch_size {batch_size} exceeds the {len(split)} training images")
        self.split = split
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.fixed = fixed
        self.device = str(split.images.device)

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    @property
    def images_per_epoch(self) -> int:
        """Images that one epoch sees."""
        return len(self) * self.batch_size

    def epoch(self, epoch: int, purpose: str = "train", augmented: bool = True) -> Iterator[Batch]:
        """Batches of one epoch; another ``purpose`` gives another order and augmentation."""
        for step, (index, rows) in enumerate(self._rows(epoch, purpose)):
            images = self.split.images[rows]
            if augmented:
                draw = rng.generator(self.seed, f"{purpose}/augment", epoch, step, self.device)
                images = random_crop(images, self.augmentation.crop, draw)
                if self.augmentation.flip:
                    images = random_flip(images, draw)
            noise = rng.derive(self.seed, f"{purpose}/noise", epoch, step)
            yield Batch(images.float().div_(255), self.split.labels[rows], noise=noise, index=index)

    def _rows(self, epoch: int, purpose: str) -> Iterator[tuple[int, Tensor]]:
        """Index (-1 if batches are not fixed) and image numbers of each batch."""
        size = self.batch_size
        if not self.fixed:
            order = self._shuffled(len(self.split), f"{purpose}/order", epoch)
            for step in range(len(self)):
                yield -1, order[step * size : (step + 1) * size]
            return
        partition = self._shuffled(len(self.split), "fixed batches", 0)
        for index in self._shuffled(len(self), f"{purpose}/order", epoch).tolist():
            yield index, partition[index * size : (index + 1) * size]

    def _shuffled(self, count: int, purpose: str, epoch: int) -> Tensor:
        generator = rng.generator(self.seed, purpose, epoch, device=self.device)
        return torch.randperm(count, generator=generator, device=self.device)


def in_order(split: Split, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, unchanged: for evaluation."""
    for start in range(0, len(split), batch_size):
        part = split[slice(start, start + batch_size)]
        yield Batch(part.images.float().div_(255), part.labels)
