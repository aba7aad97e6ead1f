"""The checks of data sets find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from agc.conformance.checks import DoesNotApply
from agc.conformance.datasets import CHECKS
from agc.datasets.base import Dataset, Split, channel_statistics
from agc.errors import UserError
from agc.registry import DATASETS
from tests.support.conformance import registered

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


BROKEN: list[tuple[Callable[[], Dataset], dict[str, Any], str]] = [
    (sound, {**FACTS, "train": 41}, "the_facts_are_those_of_the_loaded_data"),
    (wrong_statistics, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
    (missing_class, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
    (floats, FACTS, "images_are_bytes_and_labels_cover_the_classes"),
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
