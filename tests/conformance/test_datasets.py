"""What holds for every data set."""

from __future__ import annotations

import pytest

from agc.conformance.datasets import CHECKS, contents, load
from agc.registry import DATASETS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", DATASETS.names())
def test_dataset(name: str, check: str) -> None:
    hold(CHECKS[check], name)


def test_no_image_of_digits_is_there_twice() -> None:
    dataset = load("digits")
    images = [*contents(dataset.train), *contents(dataset.test)]
    assert len(set(images)) == len(images)
