from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agc import rng
from agc.datasets.base import Split, channel_statistics, hold_out
from agc.datasets.shared.augment import random_crop, random_flip
from agc.datasets.shared.loader import Loader, in_order
from agc.datasets.shared.settings import Augmentation
from agc.errors import UserError


def numbered(count: int, height: int = 5, width: int = 6) -> Split:
    """Images whose every pixel says where it is, and labels that number them."""
    pixels = torch.arange(1, height * width + 1, dtype=torch.uint8).reshape(1, 1, height, width)
    return Split(pixels.repeat(count, 1, 1, 1), torch.arange(count))


@given(padding=st.integers(0, 4), seed=st.integers(0, 1000))
def test_a_crop_shifts_each_image_by_at_most_its_padding(padding: int, seed: int) -> None:
    images = numbered(8).images
    cropped = random_crop(images, padding, rng.generator(seed, "crop"))
    assert cropped.shape == images.shape
    assert cropped.dtype == images.dtype
    height, width = images.shape[2:]
    padded = torch.zeros(height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    padded[padding : padding + height, padding : padding + width] = images[0, 0]
    windows = [
        padded[row : row + height, column : column + width]
        for row in range(2 * padding + 1)
        for column in range(2 * padding + 1)
    ]
    for image in cropped:
        assert any(torch.equal(image[0], window) for window in windows)


def test_every_shift_of_a_crop_is_as_likely_and_images_move_independently() -> None:
    count = 9000
    cropped = random_crop(numbered(count, 3, 3).images, 1, rng.generator(0, "crop"))
    centres = torch.bincount(cropped[:, 0, 1, 1].long(), minlength=10)[1:]
    # Nine shifts with 1,000 images each; the standard deviation is 30.
    assert (centres - 1000).abs().max() < 150


def test_channels_of_an_image_are_shifted_together() -> None:
    images = torch.arange(1, 26).reshape(1, 1, 5, 5).repeat(20, 3, 1, 1)
    cropped = random_crop(images, 2, rng.generator(0, "crop"))
    assert torch.equal(cropped[:, 0], cropped[:, 1])
    assert torch.equal(cropped[:, 0], cropped[:, 2])


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = numbered(1000).images
    flipped = random_flip(images, rng.generator(0, "flip"))
    mirrored = (flipped == images.flip(-1)).flatten(1).all(dim=1)
    untouched = (flipped == images).flatten(1).all(dim=1)
    assert (mirrored ^ untouched).all()
    assert 400 < int(mirrored.sum()) < 600


def loader(**settings: object) -> Loader:
    given_settings = {"split": numbered(50), "batch_size": 8, "seed": 3}
    augmentation = Augmentation(crop=1, flip=True)
    return Loader(**{"augmentation": augmentation, **given_settings, **settings})


def labels(batches: object) -> list[int]:
    return [int(label) for batch in batches for label in batch.labels]


def test_an_epoch_has_equal_batches_of_different_images_in_the_unit_interval() -> None:
    batches = list(loader().epoch(1))
    assert len(batches) == len(loader()) == 6
    assert loader().images_per_epoch == 48
    assert {len(batch.labels) for batch in batches} == {8}
    assert len(set(labels(batches))) == 48
    for batch in batches:
        assert batch.images.dtype == torch.float32
        assert batch.images.min() >= 0
        assert batch.images.max() <= 1
        assert (batch.images * 255).round().unique().max() <= 30


def test_batches_follow_from_seed_epoch_and_purpose_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = list(loader().epoch(2, "snapshot"))
    torch.rand(3)
    again = list(loader().epoch(2, "snapshot"))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert one.noise == other.noise
    torch.manual_seed(0)
    list(loader().epoch(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "other",
    [
        lambda: loader().epoch(3, "train"),
        lambda: loader().epoch(2, "snapshot"),
        lambda: loader(seed=4).epoch(2, "train"),
    ],
    ids=["epoch", "purpose", "seed"],
)
def test_another_epoch_purpose_or_seed_is_another_pass(other) -> None:
    one, other = list(loader().epoch(2, "train")), list(other())
    assert labels(one) != labels(other)
    assert {batch.noise for batch in one}.isdisjoint({batch.noise for batch in other})


def test_evaluation_sees_every_image_once_in_order_unchanged() -> None:
    split = numbered(21)
    batches = list(in_order(split, 8))
    assert labels(batches) == list(range(21))
    images = torch.cat([batch.images for batch in batches])
    assert torch.equal((images * 255).round().to(torch.uint8), split.images)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size 51 exceeds the 50 training images"):
        loader(batch_size=51)


@given(st.integers(2, 60), st.data())
def test_what_is_held_out_is_neither_lost_nor_shared(size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size - 1))
    train, validation = hold_out(numbered(size), count)
    assert len(validation) == count
    assert sorted([*train.labels.tolist(), *validation.labels.tolist()]) == list(range(size))


def test_a_fraction_held_out_is_a_number_of_images_and_the_same_for_everybody() -> None:
    torch.manual_seed(1)
    _, first = hold_out(numbered(30), 0.1)
    torch.manual_seed(2)
    _, again = hold_out(numbered(30), 3)
    assert first.labels.tolist() == again.labels.tolist()


def test_the_fixed_split_is_the_one_it_always_was() -> None:
    train, validation = hold_out(numbered(12), 0.25)
    assert validation.labels.tolist() == [0, 1, 6]
    assert train.labels.tolist() == [11, 10, 3, 4, 8, 2, 9, 7, 5]


@given(st.integers(3, 60), st.integers(0, 3), st.data())
def test_fewer_training_images_are_among_more_and_validation_stays(
    size: int, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, size - 2))
    many = data.draw(st.integers(2, size - count))
    few = data.draw(st.integers(1, many - 1))
    everything, validation = hold_out(numbered(size), count, seed=seed)
    for images in (few, many):
        train, same = hold_out(numbered(size), count, images, seed)
        assert train.labels.tolist() == everything.labels.tolist()[:images]
        assert same.labels.tolist() == validation.labels.tolist()


def test_another_seed_holds_other_images_out_and_trains_on_others() -> None:
    parts = [hold_out(numbered(300), 0.1, 90, seed) for seed in (0, 1)]
    for one, other in zip(*parts, strict=True):
        assert set(one.labels.tolist()) != set(other.labels.tolist())


@pytest.mark.parametrize("images", [8, 100])
def test_more_training_images_than_are_left_are_refused(images: int) -> None:
    with pytest.raises(UserError, match=f"images = {images}, but of 10 .* 3 are .* at most 7"):
        hold_out(numbered(10), 3, images)


@pytest.mark.parametrize("validation", [0.001, 0.999, 10, 11])
def test_an_empty_part_is_refused(validation: float) -> None:
    with pytest.raises(UserError, match=f"validation = {validation} holds"):
        hold_out(numbered(10), validation)


def test_channel_statistics_are_those_of_numpy() -> None:
    images = torch.randint(256, (7, 3, 4, 5), generator=rng.generator(0, "x"), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    flat = images.numpy().astype("float64").transpose(1, 0, 2, 3).reshape(3, -1) / 255
    assert mean == pytest.approx(flat.mean(axis=1))
    assert std == pytest.approx(flat.std(axis=1, ddof=1))
