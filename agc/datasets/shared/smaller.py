"""Smaller images of a data set in memory, for studies that pay for every pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agc.datasets.base import Dataset, Split, channel_statistics
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def smaller(dataset: Dataset, factor: int) -> Dataset:
    """The data set with each pixel the mean of a square of ``factor`` × ``factor`` of its own,
    rounded half to even; mean and standard deviation are those of the new images.

    Raises:
        ValueError: a side of the images is no multiple of ``factor``.
    """
    train, test = (
        Split(_averaged(split.images, factor), split.labels)
        for split in (dataset.train, dataset.test)
    )
    mean, std = channel_statistics(train.images)
    return replace(dataset, train=train, test=test, mean=mean, std=std)


def _averaged(images: Tensor, factor: int) -> Tensor:
    """uint8 [N, C, H, W] to uint8 [N, C, H / factor, W / factor]."""
    count, channels, height, width = images.shape
    if height % factor or width % factor:
        raise ValueError(f"images of {height}×{width} pixels have no squares of {factor}")
    total = torch.zeros(count, channels, height // factor, width // factor, dtype=torch.float32)
    # Whole numbers below 2²⁴: the sum is exact whatever the order, on every machine.
    for row in range(factor):
        for column in range(factor):
            total += images[:, :, row::factor, column::factor]
    return (total / factor**2).round().to(torch.uint8)
