"""Made-up images for tests and benchmarks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agc import rng
from agc.datasets.base import SPLIT_SEED, Dataset, Split, channel_statistics
from agc.lazy import torch
from agc.registry import DATASETS

Count = Annotated[int, Field(ge=1)]


@DATASETS.register(
    "synthetic", shape=(3, 32, 32), classes=10, train=4096, test=1024, benchmark_only=True
)
def synthetic(
    *,
    train: Count = 4096,
    test: Count = 1024,
    classes: Count = 10,
    channels: Count = 3,
    size: Count = 32,
) -> Dataset:
    """Made-up images for tests and benchmarks; no grid and no table takes them.

    They are noise around one random picture a class, so that there is something to learn.
    """
    draw = rng.generator(SPLIT_SEED, "synthetic images")
    pictures = torch.randint(256, (classes, channels, size, size), generator=draw)

    def split(count: int) -> Split:
        labels = torch.arange(count) % classes
        noise = torch.randint(256, (count, channels, size, size), generator=draw)
        return Split(((pictures[labels] + 3 * noise) // 4).to(torch.uint8), labels)

    parts = split(train), split(test)
    mean, std = channel_statistics(parts[0].images)
    return Dataset(*parts, classes=classes, mean=mean, std=std)
