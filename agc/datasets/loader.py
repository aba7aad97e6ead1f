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
    """

    images: Tensor
    labels: Tensor
    clean: Tensor | None = None
    noise: int = 0


class Loader:
    """Shuffled, augmented batches of equal size.

    Args:
        split: uint8 images on the device where the batches are wanted.
        batch_size: images a batch; a smaller rest is left out of the epoch, so that every
            step weighs the same and shapes stay fixed.
        augmentation: what to do to each image.
        seed: the cell's seed.

    Raises:
        UserError: fewer images than one batch.
    """

    def __init__(
        self, split: Split, batch_size: int, augmentation: Augmentation, seed: int
    ) -> None:
        if batch_size > len(split):
            raise UserError(f"batch_size {batch_size} exceeds the {len(split)} training images")
        self.split = split
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.device = str(split.images.device)

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    @property
    def images_per_epoch(self) -> int:
        """Images that one epoch sees."""
        return len(self) * self.batch_size

    def epoch(self, epoch: int, purpose: str = "train") -> Iterator[Batch]:
        """Batches of one epoch; another ``purpose`` gives another order and augmentation."""
        shuffle = rng.generator(self.seed, f"{purpose}/order", epoch, device=self.device)
        order = torch.randperm(len(self.split), generator=shuffle, device=self.device)
        for step in range(len(self)):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            draw = rng.generator(self.seed, f"{purpose}/augment", epoch, step, self.device)
            images = random_crop(self.split.images[rows], self.augmentation.crop, draw)
            if self.augmentation.flip:
                images = random_flip(images, draw)
            noise = rng.derive(self.seed, f"{purpose}/noise", epoch, step)
            yield Batch(images.float().div_(255), self.split.labels[rows], noise=noise)


def in_order(split: Split, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, unchanged: for evaluation."""
    for start in range(0, len(split), batch_size):
        part = split[slice(start, start + batch_size)]
        yield Batch(part.images.float().div_(255), part.labels)
