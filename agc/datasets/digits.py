"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

from agc import rng
from agc.datasets.base import SPLIT_SEED, Dataset, Split, channel_statistics
from agc.lazy import torch
from agc.registry import DATASETS


@DATASETS.register("digits", shape=(1, 8, 8), classes=10, train=1437, test=360)
def digits(root: Path | None = None) -> Dataset:
    """1,797 real 8×8 handwritten digits of the UCI collection, shipped with scikit-learn.

    They have no official split: 360 images, drawn once for everybody, are the test set.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    # 17 grey levels become 8-bit images, so that this set takes the same way as all others.
    images = torch.from_numpy((data.images * (255 / 16)).round()).to(torch.uint8)[:, None]
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(labels), generator=rng.generator(SPLIT_SEED, "digits test split"))
    everything = Split(images, labels)
    train, test = everything[order[360:]], everything[order[:360]]
    mean, std = channel_statistics(train.images)
    return Dataset(train, test, classes=10, mean=mean, std=std)
