"""What holds for every data set."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations

import pytest
import torch

from agc.datasets.base import Dataset, Split, channel_statistics, hold_out
from agc.datasets.shared.loader import Loader
from agc.datasets.shared.settings import Augmentation
from agc.datasets.shared.stream import StreamedSplit
from agc.errors import UserError
from agc.registry import DATASETS


@cache
def load(name: str) -> Dataset:
    """The real data; small files in the same formats are read in test_dataset_readers.py."""
    try:
        dataset = DATASETS.create(name, options={})
    except UserError as error:
        pytest.skip(f"{name} is not on this machine: {error}")
    if isinstance(dataset.train, StreamedSplit):
        pytest.skip(f"{name} is decoded when needed; test_dataset_streams.py covers that")
    return dataset


def contents(split: Split) -> list[tuple[bytes, int]]:
    return [
        (image.numpy().tobytes(), int(label))
        for image, label in zip(split.images, split.labels, strict=True)
    ]


@pytest.mark.parametrize("name", DATASETS.names())
def test_the_facts_are_those_of_the_loaded_data(name: str) -> None:
    facts, dataset = DATASETS[name].facts, load(name)
    assert facts["shape"] == tuple(dataset.train.images.shape[1:])
    assert facts["shape"] == tuple(dataset.test.images.shape[1:])
    assert facts["classes"] == dataset.classes
    assert facts["train"] == len(dataset.train) == len(dataset.train.images)
    assert facts["test"] == len(dataset.test) == len(dataset.test.images)


@pytest.mark.parametrize("name", DATASETS.names())
def test_images_are_bytes_and_labels_cover_the_classes(name: str) -> None:
    dataset = load(name)
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == torch.uint8
        assert split.images.ndim == 4
        assert split.labels.dtype == torch.int64
        assert split.labels.unique().tolist() == list(range(dataset.classes))
    assert int(dataset.train.images.max()) == 255
    mean, std = channel_statistics(dataset.train.images)
    assert dataset.mean == pytest.approx(mean)
    assert dataset.std == pytest.approx(std)


@pytest.mark.parametrize("name", DATASETS.names())
def test_loading_draws_nothing_from_the_global_stream_and_is_always_the_same(name: str) -> None:
    torch.manual_seed(4)
    load(name)
    before = torch.get_rng_state()
    again = DATASETS.create(name, options={})
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in ((again.train, load(name).train), (again.test, load(name).test)):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("name", DATASETS.names())
def test_no_image_is_in_two_of_training_validation_and_test(name: str) -> None:
    dataset = load(name)
    train, validation = hold_out(dataset.train, 0.1)
    whole, test = Counter(contents(dataset.train)), Counter(contents(dataset.test))
    # What publishers have put into a set twice, or into both of its splits, they have.
    twice = {image for image, count in (whole + test).items() if count > 1}
    parts = [set(contents(split)) - twice for split in (train, validation, dataset.test)]
    for one, other in combinations(parts, 2):
        assert one.isdisjoint(other)
    assert Counter(contents(train)) + Counter(contents(validation)) == whole
    if name == "digits":
        assert not twice


@pytest.mark.parametrize("name", DATASETS.names())
def test_batches_hold_images_of_the_split_with_their_labels(name: str) -> None:
    split = load(name).train
    known = set(contents(split))
    batch = next(Loader(split, 32, Augmentation(), seed=0).epoch(1))
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1
    pixels = (batch.images * 255).round().to(torch.uint8)
    assert set(contents(Split(pixels, batch.labels))) <= known
