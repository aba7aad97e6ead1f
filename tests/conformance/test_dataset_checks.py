"""The checks of data sets find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.conformance.checks import DoesNotApply
from agc.conformance.datasets import CHECKS
from agc.datasets.base import Dataset, Split, channel_statistics
from agc.datasets.shared.encoded import load_folders
from agc.errors import UserError
from agc.registry import DATASETS
from tests.support.conformance import registered
from tests.support.image_files import folders

FACTS = {"shape": (1, 4, 4), "classes": 3, "train": 40, "test": 12}


def sound(seed: int = 0) -> Dataset:
    """Random images that keep every promise."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (52, 1, 4, 4), dtype=torch.uint8, generator=generator)
    images[0, 0, 0, 0] = 255
    everything = Split(images, torch.arange(52) % 3)
    mean, std = channel_statistics(images[:40])
    return Dataset(everything[slice(40)], everything[slice(40, 52)], 3, mean, std)


def draws() -> Dataset:
    """Other images each time."""
    return sound(int(torch.randint(2**31, ()).item()))


def wrong_statistics() -> Dataset:
    """Means of another set."""
    dataset = sound()
    return replace(dataset, mean=tuple(value + 0.1 for value in dataset.mean))


def missing_class() -> Dataset:
    """A class without a test image."""
    dataset = sound()
    return replace(dataset, test=Split(dataset.test.images, dataset.test.labels.clamp(max=1)))


def floats() -> Dataset:
    """Images in [0, 1]."""
    dataset = sound()
    return replace(dataset, train=Split(dataset.train.images / 255, dataset.train.labels))


def beyond() -> Dataset:
    """A label that no class has."""
    dataset = sound()
    labels = dataset.train.labels.clone()
    labels[3] = 3
    return replace(dataset, train=Split(dataset.train.images, labels))


BROKEN: list[tuple[Callable[[], Dataset], dict[str, Any], str]] = [
    (sound, {**FACTS, "train": 41}, "the_facts_are_those_of_the_loaded_data"),
    (wrong_statistics, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
    (missing_class, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
    (floats, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
    (beyond, FACTS, "batches_hold_images_of_the_split_with_their_labels"),
    (beyond, FACTS, "no_image_is_in_two_of_training_validation_and_test"),
    (draws, FACTS, "loading_draws_nothing_from_the_global_stream_and_is_always_the_same"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_data_set_passes(check: str) -> None:
    with registered(DATASETS, sound, **FACTS) as name:
        CHECKS[check](name)


@pytest.mark.parametrize(("broken", "facts", "check"), BROKEN)
def test_a_broken_data_set_fails_its_check(
    broken: Callable[[], Dataset], facts: dict[str, Any], check: str
) -> None:
    with registered(DATASETS, broken, **facts) as name, pytest.raises(AssertionError):
        CHECKS[check](name)


def test_what_is_not_there_is_left_out() -> None:
    def absent() -> Dataset:
        raise UserError("run agc data prepare")

    with (
        registered(DATASETS, absent) as name,
        pytest.raises(DoesNotApply, match="not on this machine: run agc data prepare"),
    ):
        CHECKS["the_facts_are_those_of_the_loaded_data"](name)


def test_images_that_are_streamed_are_checked_as_far_as_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")
    root = folders(tmp_path / "images", 6)

    def streamed() -> Dataset:
        return load_folders(root, 16)

    left_out = []
    with registered(DATASETS, streamed, shape=(3, 16, 16), classes=2, train=12, test=12) as name:
        for title, run in CHECKS.items():
            try:
                run(name)
            except DoesNotApply:
                left_out.append(title)
    assert left_out == [
        "images_are_bytes_and_labels_cover_the_classes",
        "no_image_is_in_two_of_training_validation_and_test",
        "batches_hold_images_of_the_split_with_their_labels",
    ]
