"""Batched augmentation against independent implementations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from agc import rng
from agc.datasets.base import Split
from agc.datasets.shared.augment import augment, cutout, random_boxes, random_crop, resize_boxes
from agc.datasets.shared.loader import Loader
from agc.datasets.shared.settings import Augmentation
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.training.build import build
from agc.training.loop import DataPass, prepared


def noise(count: int = 40, channels: int = 3, height: int = 9, width: int = 9) -> torch.Tensor:
    draw = rng.generator(0, "noise")
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, generator=draw, dtype=torch.uint8)


@given(padding=st.integers(1, 6), seed=st.integers(0, 1000))
def test_a_reflecting_crop_is_a_window_of_torch_s_reflected_image(padding: int, seed: int) -> None:
    images = noise(6, 1, 7, 8)
    padded = torch.nn.functional.pad(images.float(), (padding,) * 4, mode="reflect").byte()
    windows = padded.unfold(2, 7, 1).unfold(3, 8, 1).flatten(2, 3)[:, 0]
    cropped = random_crop(images, padding, rng.generator(seed, "crop"), "reflect")
    for image, own in zip(cropped[:, 0], windows, strict=True):
        assert any(torch.equal(image, window) for window in own)


def test_the_padding_decides_what_is_seen_and_not_where() -> None:
    images = noise()
    zero, reflect = (
        random_crop(images, 3, rng.generator(1, "crop"), mode) for mode in ("zero", "reflect")
    )
    inside = zero > 0  # no pixel of the images is black
    assert torch.equal(zero[inside], reflect[inside])
    assert not torch.equal(zero, reflect)
    assert reflect.min() > 0


def test_reflection_needs_images_larger_than_the_padding() -> None:
    settings = Augmentation(crop=9, padding="reflect")
    with pytest.raises(UserError, match="images of 9 pixels reflect at most 8"):
        Loader(Split(noise(), torch.zeros(40, dtype=torch.long)), 8, settings, seed=0)


@given(side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_a_cutout_is_one_black_square_and_the_rest_is_as_it_was(side: int, seed: int) -> None:
    images = noise(20)
    cut = cutout(images, side, rng.generator(seed, "cutout"))
    black = (cut == 0).all(dim=1)
    assert torch.equal((cut == 0).any(dim=1), black)
    assert torch.equal(cut.where(cut > 0, images), images)
    for square in black:
        rows, columns = square.any(dim=1), square.any(dim=0)
        # A square around a pixel of the image: at least its inner half is inside.
        assert side // 2 <= rows.sum() <= side
        assert side // 2 <= columns.sum() <= side
        assert torch.equal(square, rows[:, None] & columns[None, :])


def test_boxes_are_resized_as_torchvision_does() -> None:
    images = noise(30, 3, 12, 12)
    boxes = random_boxes(images, (0.1, 1.0), rng.generator(3, "boxes"))
    resized = resize_boxes(images, *boxes)
    for image, result, box in zip(images, resized, torch.stack(boxes, dim=1).tolist(), strict=True):
        expected = functional.resized_crop(image, *box, size=[12, 12])
        assert (result.int() - expected.int()).abs().max() <= 1


def test_boxes_have_the_area_and_aspect_ratio_asked_for_and_lie_anywhere() -> None:
    images = noise(1, 1, 100, 100).expand(4000, 1, 100, 100)
    top, left, tall, wide = random_boxes(images, (0.2, 0.6), rng.generator(0, "boxes"))
    area = tall * wide / 100**2
    assert 0.19 < area.min() < 0.22
    assert 0.58 < area.max() < 0.61
    assert area.mean() == pytest.approx(0.4, abs=0.01)
    ratio = (wide / tall).log()
    assert ratio.abs().max() < 0.32  # log(4/3) is 0.29; rounding to pixels adds a little
    assert ratio.mean() == pytest.approx(0, abs=0.02)
    for start, extent in ((top, tall), (left, wide)):
        assert start.min() == 0
        assert (start + extent).max() == 100
        assert (start / (100 - extent)).mean() == pytest.approx(0.5, abs=0.02)


def test_without_a_box_that_fits_it_is_the_whole_image() -> None:
    images = noise(50, 1, 2, 2)
    boxes = random_boxes(images, (0.01, 0.02), rng.generator(0, "boxes"))
    assert torch.equal(resize_boxes(images, *boxes), images)


def test_nothing_asked_for_is_nothing_done() -> None:
    images = noise()
    assert torch.equal(augment(images, Augmentation(), rng.generator(0, "x")), images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"area": [0.9, 0.1]}, r"area = \[0.9, 0.1\]: the smaller share comes first"),
        ({"area": [0.1, 1.5]}, "area.1 = 1.5"),
        ({"area": [0.1, 1], "crop": 4}, "crop = 4 and area"),
        ({"padding": "reflect"}, "padding = 'reflect' needs a crop"),
        ({"padding": "mirror", "crop": 4}, "padding = 'mirror'"),
        ({"cutout": -1}, "cutout = -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_cell(
            {
                "dataset": "digits",
                "architecture": "resnet8",
                "training": {"augmentation": settings},
            }
        )


@pytest.mark.parametrize(
    "settings", [{"crop": 1, "padding": "reflect"}, {"area": [0.5, 1]}, {"cutout": 2}]
)
def test_later_settings_are_in_the_description_only_where_they_differ(
    settings: dict, tiny_cell
) -> None:
    plain = tiny_cell(training={"augmentation": {}})
    assert plain.model_dump()["training"]["augmentation"] == {"crop": 0, "flip": False}
    spelt = {"padding": "zero", "area": None, "cutout": 0, "locked": False}
    assert tiny_cell(training={"augmentation": spelt}).slug == plain.slug
    other = tiny_cell(training={"augmentation": settings})
    assert other.digest != plain.digest
    assert make_cell(other.model_dump(mode="json")) == other


@pytest.mark.parametrize("locked", [True, False])
def test_both_passes_of_an_epoch_share_their_batches_if_they_are_locked(
    locked: bool, tiny_cell
) -> None:
    objective = {"name": "pgd-at", "options": {"steps": 1, "epsilon": 0.1, "step_size": 0.1}}
    settings = {"crop": 1, "locked": locked}
    run = build(tiny_cell(objective=objective, training={"augmentation": settings}))
    steps = list(prepared(run, 1, "train"))
    passes = DataPass(run, 1)
    for _ in range(2):
        batches = list(passes)
        assert len(batches) == len(steps)
        for one, other in zip(steps, batches, strict=True):
            assert torch.equal(one.images, other.images) is locked
            assert torch.equal(one.labels, other.labels) is locked
            assert (one.noise == other.noise) is locked
    later = next(iter(DataPass(run, 2)))
    assert not torch.equal(later.labels, steps[0].labels)
