"""Data sets in memory, and the validation split held out of their training images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agc import rng
from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


SPLIT_SEED = 2301
"""Seed of the fixed held-out split: the same images for every cell, whatever its own seed."""


class Images(Protocol):
    """Some images of a set and their labels, in memory or decoded when they are needed.

    Attributes:
        images: uint8 [N, C, H, W], or what looks like it where it is indexed.
        labels: int64 [N].
    """

    images: Any
    labels: Tensor

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor | slice) -> Images: ...

    def to(self, device: str) -> Images:
        """The same images for another device."""

    def relabelled(self, labels: Tensor) -> Images:
        """The same images with other labels, int64 [N]."""

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images, uint8 [B, C, H, W], and labels in batches of this size; the last may be smaller.

        It is how whole splits are read: ``images`` may decode as much as it is asked for at once.
        """


@dataclass(frozen=True)
class Split:
    """Images as uint8 [N, C, H, W] and labels as int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Split:
        return Split(self.images[index], self.labels[index])

    def to(self, device: str) -> Split:
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device))

    def relabelled(self, labels: Tensor) -> Split:
        """The same images with other labels, int64 [N]."""
        return Split(self.images, labels)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels in batches of this size; the last one may be smaller."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self.images[part], self.labels[part]


@dataclass(frozen=True)
class Dataset:
    """Training and test images of one data set, in memory or decoded when needed.

    Attributes:
        train: training images; a validation split is still to be held out of them.
        test: test images; they never select anything.
        classes: number of classes.
        mean: per channel, of training images in [0, 1].
        std: per channel, of training images in [0, 1].
        absent: classes that are left out on purpose; others must have an image each.
    """

    train: Images
    test: Images
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    absent: frozenset[int] = frozenset()


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images, in units of [0, 1]."""
    scaled = images.double() / 255
    mean, std = scaled.mean(dim=(0, 2, 3)), scaled.std(dim=(0, 2, 3))
    return tuple(mean.tolist()), tuple(std.tolist())


def hold_out(
    train: Images, validation: float | int, images: int | None = None, seed: int = SPLIT_SEED
) -> tuple[Images, Images]:
    """Training split without, and validation split with, ``validation`` of the images.

    Args:
        train: all training images.
        validation: a fraction if below 1, else a number of images.
        images: how many of the others to train on; None: all. Fewer are among more.
        seed: of the draw.

    Raises:
        UserError: one of the two parts would be empty, or there are not as many ``images``.
    """
    count = held_out(len(train), validation)
    if not 0 < count < len(train):
        raise UserError(
            f"validation = {validation} holds {count} of {len(train)} training images out; "
            "both parts need at least one"
        )
    reason = None if images is None else too_many(images, len(train), count)
    if reason is not None:
        raise UserError(reason)
    order = torch.randperm(len(train), generator=rng.generator(seed, "validation split"))
    end = None if images is None else count + images
    return train[order[count:end]], train[order[:count]]


def held_out(total: int, validation: float | int) -> int:
    """How many of ``total`` images a fraction below 1, or a number, holds out."""
    return round(validation * total) if validation < 1 else int(validation)


def too_many(images: int, total: int, count: int) -> str | None:
    """Why one cannot train on so many images, or None.

    Args:
        images: to be trained on.
        total: training images that there are.
        count: of those, held out for validation.
    """
    if images <= total - count:
        return None
    return (
        f"training.images = {images}, but of {total} training images {count} are held out by "
        f"training.validation: at most {total - count} are left"
    )
