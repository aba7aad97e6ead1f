"""CIFAR-100 (Krizhevsky 2009, Learning multiple layers of features from tiny images)."""

from __future__ import annotations

from agc.datasets.base import Dataset
from agc.datasets.shared.cifar import cifar_source
from agc.datasets.shared.prepare import load_images
from agc.registry import DATASETS


@DATASETS.register(
    "cifar100",
    shape=(3, 32, 32),
    classes=100,
    train=50_000,
    test=10_000,
    source=cifar_source("CIFAR100"),
)
def cifar100() -> Dataset:
    """Photographs of 100 kinds of things (the fine labels), 32×32."""
    return load_images("cifar100")
