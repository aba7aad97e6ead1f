"""Batches of a split; order and augmentation come from (seed, purpose, epoch, step).

Images in memory lie as bytes on the device, and everything is done there, a batch at a time.
Images that are decoded when needed come from :mod:`agc.datasets.shared.stream`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from agc import rng
from agc.datasets.shared.augment import augment
from agc.datasets.shared.stream import StreamedSplit
from agc.errors import UserError
from agc.lazy import torch
from agc.processes.share import Share

if TYPE_CHECKING:
    from torch import Tensor

    from agc.datasets.base import Split
    from agc.datasets.shared.settings import Augmentation


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
        share: which images of each batch are wanted. They are the same images, augmented in the
            same way, as one process has them in the whole batch.

    Raises:
        UserError: fewer images than one batch, or they are too small for the padding.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        fixed: bool = False,
        share: Share = Share(),
    ) -> None:
        if batch_size > len(split):
            raise UserError(f"batch_size {batch_size} exceeds the {len(split)} training images")
        side = min(split.images.shape[2:])
        if augmentation.padding == "reflect" and augmentation.crop >= side:
            raise UserError(
                f"augmentation.crop {augmentation.crop}: images of {side} pixels reflect at most "
                f"{side - 1}"
            )
        self.split = split
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.fixed = fixed
        self.share = share
        self.device = str(split.images.device)
        self.order_device = self.device

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    @property
    def images_per_epoch(self) -> int:
        """Images that one epoch sees, on all processes together."""
        return len(self) * self.batch_size

    def epoch(self, epoch: int, purpose: str = "train", augmented: bool = True) -> Iterator[Batch]:
        """Batches of one epoch; another ``purpose`` gives another order and augmentation."""
        plan = list(self._rows(epoch, purpose))
        place = rng.derive(self.seed, f"{purpose}/place", epoch) if augmented else None
        batches = self.fetch([self.share.of(rows) for _, rows in plan], place)
        for step, ((index, _), (images, labels)) in enumerate(zip(plan, batches, strict=True)):
            if augmented:
                draw = rng.generator(self.seed, f"{purpose}/augment", epoch, step, self.device)
                images = self.share.of(augment(self.share.spread(images), self.augmentation, draw))
            # Elsewhere other units are dropped; the first process does what one alone does.
            own = f"/{self.share.rank}" if self.share.rank else ""
            noise = rng.derive(self.seed, f"{purpose}/noise{own}", epoch, step)
            yield Batch(images.float().div_(255), labels, noise=noise, index=index)

    def fetch(
        self, batches: Iterable[Tensor], place: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images, uint8 on the device, and labels of each batch.

        Args:
            batches: numbers of images within the split.
            place: seed of what has to be drawn before images have one size; None if nothing is to
                be drawn. Images in memory have one size.
        """
        for rows in batches:
            yield self.split.images[rows], self.split.labels[rows]

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
        generator = rng.generator(self.seed, purpose, epoch, device=self.order_device)
        return torch.randperm(count, generator=generator, device=self.order_device)


def in_order(split: Split | StreamedSplit, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, unchanged: for evaluation."""
    for images, labels in split.in_order(batch_size):
        yield Batch(images.float().div_(255), labels)


class StreamLoader(Loader):
    """A :class:`~agc.datasets.shared.loader.Loader` whose images are decoded by worker processes.

    Crops by area are made there, at the full resolution of the files; everything else is done with
    whole batches on the device.
    """

    def __init__(
        self,
        split: StreamedSplit,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        fixed: bool = False,
        share: Share = Share(),
    ) -> None:
        super().__init__(split, batch_size, augmentation, seed, fixed, share)
        self.area = augmentation.area
        self.augmentation = augmentation.model_copy(update={"area": None})
        self.order_device = "cpu"

    def fetch(
        self, batches: Iterable[Tensor], place: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As the base class says; ``place`` is the seed of the boxes."""
        area = self.area if place is not None else None
        return self.split.fetch(batches, area, place or 0)


def make_loader(
    split: Split | StreamedSplit,
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    fixed: bool = False,
    share: Share = Share(),
) -> Loader:
    """The loader for a split; the arguments are those of :class:`Loader`."""
    kind = StreamLoader if isinstance(split, StreamedSplit) else Loader
    return kind(split, batch_size, augmentation, seed, fixed, share)
