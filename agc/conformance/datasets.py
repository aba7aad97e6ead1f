"""What holds for every data set that is on this machine; each check takes a name and asserts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import torch

from agc.conformance.checks import DoesNotApply, listed
from agc.datasets.base import Dataset, Split, channel_statistics, hold_out
from agc.datasets.shared.checked import check
from agc.datasets.shared.loader import Loader
from agc.datasets.shared.settings import Augmentation
from agc.errors import UserError
from agc.registry import DATASETS


@cache
def load(name: str) -> Dataset:
    """The real data.

    Raises:
        AssertionError: they are not sound, so that no training takes them.
        DoesNotApply: they are not on this machine.
    """
    try:
        dataset = DATASETS.create(name, options={})
    except UserError as error:
        raise DoesNotApply(f"{name} is not on this machine: {error}") from error
    try:
        check(name, dataset)
    except UserError as error:
        raise AssertionError(str(error)) from error
    return dataset


def in_memory(name: str) -> Dataset:
    """The real data, whose pixels can all be looked at.

    Raises:
        DoesNotApply: images are decoded when they are needed, or as :func:`load`.
    """
    dataset = load(name)
    if not isinstance(dataset.train, Split):
        raise DoesNotApply(f"{name} is decoded when needed, not held in memory")
    return dataset


def contents(split: Split) -> list[tuple[bytes, int]]:
    """Every image with its label, as things that can be counted."""
    return [
        (image.numpy().tobytes(), int(label))
        for image, label in zip(split.images, split.labels, strict=True)
    ]


def the_facts_are_those_of_the_loaded_data(name: str) -> None:
    """Shape, classes and sizes, which a grid is planned by before anything is loaded."""
    facts, dataset = DATASETS[name].facts, load(name)
    found = {
        "shape": tuple(dataset.train.images.shape[1:]),
        "classes": dataset.classes,
        "train": len(dataset.train),
        "test": len(dataset.test),
    }
    declared = {key: facts.get(key) for key in found}
    assert declared == found, f"declared {declared}, found {found}"


def images_are_bytes_and_labels_cover_the_classes(name: str) -> None:
    """Mean and standard deviation are those of the training images."""
    dataset = load(name)
    for split in (dataset.train, dataset.test):
        labels = split.labels.unique().tolist()
        assert labels == list(range(dataset.classes)), f"labels are {labels}"
    dataset = in_memory(name)
    assert int(dataset.train.images.max()) == 255, "no pixel is white: images use 0 to 255"
    mean, std = channel_statistics(dataset.train.images)
    assert _close(dataset.mean, mean), f"mean is {dataset.mean}, that of the images {mean}"
    assert _close(dataset.std, std), f"std is {dataset.std}, that of the images {std}"


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in pairs)


def loading_draws_nothing_from_the_global_stream_and_is_always_the_same(name: str) -> None:
    """The second load has the bits of the first."""
    first = load(name)
    before = torch.get_rng_state()
    again = DATASETS.create(name, options={})
    assert torch.equal(torch.get_rng_state(), before), "a global random stream moved"
    for one, other in ((again.train, first.train), (again.test, first.test)):
        assert torch.equal(one.labels, other.labels), "a second load gives other labels"
        # As many as are decoded in a moment, or all that are in memory.
        seen = slice(None if isinstance(one, Split) else 8)
        assert torch.equal(one.images[seen], other.images[seen]), "a second load gives other images"


def no_image_is_in_two_of_training_validation_and_test(name: str) -> None:
    """What publishers have put into a set twice, or into both of its splits, they have."""
    dataset = in_memory(name)
    train, validation = hold_out(dataset.train, 0.1)
    whole, test = Counter(contents(dataset.train)), Counter(contents(dataset.test))
    twice = {image for image, count in (whole + test).items() if count > 1}
    parts = [set(contents(split)) - twice for split in (train, validation, dataset.test)]
    for one, other in combinations(parts, 2):
        assert one.isdisjoint(other), "an image is in two parts"
    assert Counter(contents(train)) + Counter(contents(validation)) == whole


def batches_hold_images_of_the_split_with_their_labels(name: str) -> None:
    """A batch without augmentation, in [0, 1]."""
    split = in_memory(name).train
    known = set(contents(split))
    batch = next(Loader(split, 32, Augmentation(), seed=0).epoch(1))
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1
    pixels = (batch.images * 255).round().to(torch.uint8)
    assert set(contents(Split(pixels, batch.labels))) <= known, "an image or its label is new"


CHECKS = listed(
    the_facts_are_those_of_the_loaded_data,
    images_are_bytes_and_labels_cover_the_classes,
    loading_draws_nothing_from_the_global_stream_and_is_always_the_same,
    no_image_is_in_two_of_training_validation_and_test,
    batches_hold_images_of_the_split_with_their_labels,
)
