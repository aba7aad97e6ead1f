"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agc import rng
from agc.datasets.base import SPLIT_SEED, Dataset, Split, channel_statistics
from agc.lazy import torch
from agc.registry import DATASETS, LATER

Folds = Annotated[int | None, Field(ge=2, le=10), LATER]
Only = Annotated[tuple[Annotated[int, Field(ge=0, le=9)], ...], LATER]
Turn = Annotated[Literal[0, 90, 180, 270], LATER]


@DATASETS.register(
    "digits", shape=(1, 8, 8), classes=10, train=1437, test=360, tested_by_seed="folds"
)
def digits(
    root: Path | None = None,
    *,
    seed: int = 0,
    folds: Folds = None,
    only: Only = (),
    turn: Turn = 0,
) -> Dataset:
    """1,797 real 8×8 handwritten digits of the UCI collection, shipped with scikit-learn.

    They have no official split: 360 images, drawn once for everybody, are the test set. With
    ``folds`` they are divided into so many parts, of which the one numbered ``seed`` mod ``folds``
    is: seeds then differ in what they are tested on, and together they are tested on all images.
    ``only`` leaves the images of these digits, under their own labels, and ``turn`` turns all by so
    many degrees, counter-clockwise: another task than that of a network that starts from the rest
    of the digits, or from upright ones.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    # 17 grey levels become 8-bit images, so that this set takes the same way as all others.
    images = torch.from_numpy((data.images * (255 / 16)).round()).to(torch.uint8)[:, None]
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(labels), generator=rng.generator(SPLIT_SEED, "digits test split"))
    parts = order.tensor_split(folds) if folds else (order[:360], order[360:])
    tested = seed % folds if folds else 0
    rest = torch.cat([part for number, part in enumerate(parts) if number != tested])
    everything = Split(images.rot90(turn // 90, dims=(2, 3)), labels)
    train, test = (_only(everything[part], only) for part in (rest, parts[tested]))
    mean, std = channel_statistics(train.images)
    absent = frozenset(range(10)) - {*only} if only else frozenset()
    return Dataset(train, test, classes=10, mean=mean, std=std, absent=absent)


def _only(split: Split, labels: tuple[int, ...]) -> Split:
    """The images of these labels; all of them if there are none."""
    return split[torch.isin(split.labels, torch.tensor(labels))] if labels else split
