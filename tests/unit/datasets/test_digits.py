"""The folds of the digits: every image is tested once, and never trained on where it is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from agc.conformance.datasets import contents
from agc.datasets.digits import digits
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.records.correct import Correct
from agc.registry import DATASETS
from agc.reports.collect import measured_row
from agc.training.build import load_dataset
from tests.support.records import entry, make_epochs, make_record
from tests.support.records import make_cell as make_cell_of

EVERYTHING = Counter(contents(digits().train)) + Counter(contents(digits().test))


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_divide_all_images(folds: int) -> None:
    tested: Counter[tuple[bytes, int]] = Counter()
    for seed in range(folds):
        dataset = digits(seed=seed, folds=folds)
        train, test = Counter(contents(dataset.train)), Counter(contents(dataset.test))
        assert train + test == EVERYTHING
        assert len(dataset.test) in (1797 // folds, 1797 // folds + 1)
        tested += test
    assert tested == EVERYTHING


def test_seeds_take_turns_and_the_first_of_five_is_everybodys_test_set() -> None:
    sets = [digits(seed=seed, folds=5).test.images for seed in (0, 5, 1)]
    assert torch.equal(sets[0], sets[1])
    assert not torch.equal(sets[0], sets[2])
    assert torch.equal(sets[0], digits().test.images)


def cell(folds: int | None, seed: int) -> dict[str, object]:
    options = {} if folds is None else {"folds": folds}
    return {"dataset": {"name": "digits", "options": options}, "architecture": "resnet8"} | {
        "seed": seed
    }


def test_a_cell_is_tested_on_the_fold_of_its_seed() -> None:
    for seed in (0, 7):
        found = load_dataset(make_cell(cell(5, seed))).test
        assert torch.equal(found.images, digits(seed=seed, folds=5).test.images)
    assert torch.equal(load_dataset(make_cell(cell(None, 7))).test.images, digits().test.images)


@pytest.mark.parametrize("folds", [0, 1, 11])
def test_a_number_of_folds_that_is_none_is_refused(folds: int) -> None:
    with pytest.raises(UserError, match=f"option folds = {folds}"):
        DATASETS.resolve("digits", {"folds": folds})


def test_test_images_that_differ_by_seed_are_not_compared_image_by_image() -> None:
    description = make_cell_of(dataset=entry("digits"))
    right = Correct(np.ones(8, dtype=bool), np.zeros(8), np.zeros(8))
    for options, images in (({}, 8), ({"folds": 5}, None)):
        description["dataset"] = {"name": "digits", "options": options}
        record = make_record(description, make_epochs(description), diverged=False)
        assert measured_row(record | {"correct": right})["test_images"] == images


def test_some_digits_keep_their_labels_and_their_place_among_training_and_test_images() -> None:
    whole, half = digits(), digits(only=(0, 3))
    for split, part in ((whole.train, half.train), (whole.test, half.test)):
        kept = [item for item in contents(split) if item[1] in (0, 3)]
        assert list(contents(part)) == kept
    assert half.classes == 10
    assert half.mean != whole.mean


def test_turned_digits_are_turned_and_nothing_else() -> None:
    upright, turned = digits(), digits(turn=90)
    assert torch.equal(turned.train.labels, upright.train.labels)
    # The upper right corner becomes the upper left one.
    assert torch.equal(turned.train.images[..., 0, 0], upright.train.images[..., 0, -1])
    assert torch.equal(digits(turn=270).test.images.rot90(1, (2, 3)), upright.test.images)
    assert turned.mean == upright.mean


def test_options_that_change_nothing_make_no_other_cell() -> None:
    plain = make_cell(cell(None, 0))
    given = {**cell(None, 0), "dataset": {"name": "digits", "options": {"only": [], "turn": 0}}}
    assert make_cell(given).slug == plain.slug


def test_what_is_left_out_on_purpose_is_not_missed() -> None:
    found = load_dataset(
        make_cell({**cell(None, 0), "dataset": {"name": "digits", "options": {"only": [1, 2]}}})
    )
    assert set(found.train.labels.tolist()) == {1, 2}
