"""Kuzushiji-MNIST (Clanuwat et al. 2018, arXiv 1812.01718)."""

from __future__ import annotations

from agc.datasets.base import Dataset
from agc.datasets.shared.idx import idx_source
from agc.datasets.shared.prepare import load_images
from agc.registry import DATASETS


@DATASETS.register(
    "kmnist", shape=(1, 28, 28), classes=10, train=60_000, test=10_000, source=idx_source("KMNIST")
)
def kmnist() -> Dataset:
    """Handwritten characters of old Japanese books, 28×28."""
    return load_images("kmnist")
