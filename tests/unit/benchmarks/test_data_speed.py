"""The benchmark of the loader compares the same work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from agc import rng
from agc.benchmarks.data_speed import measure, usual_batches, usual_transform
from agc.datasets.base import Split
from agc.datasets.shared.settings import Augmentation
from agc.errors import UserError
from agc.grids.cell import make_cell
from tests.support.command_line import agc
from tests.support.image_files import folders


def test_torchvision_s_way_sees_each_image_once_an_epoch_with_its_label() -> None:
    draw = rng.generator(0, "images")
    images = torch.randint(256, (24, 3, 6, 6), generator=draw, dtype=torch.uint8)
    batches = usual_batches(Split(images, torch.arange(24)), Augmentation(), 8, 0, "cpu")
    with rng.isolated(0):
        epoch = [next(batches) for _ in range(3)]
    labels = torch.cat([labels for _, labels in epoch])
    pixels = torch.cat([part for part, _ in epoch]) * 255
    assert sorted(labels.tolist()) == list(range(24))
    assert torch.equal(pixels.round().to(torch.uint8), images[labels])


def test_torchvision_s_transforms_do_what_the_settings_say() -> None:
    picture = Image.fromarray(torch.arange(36, dtype=torch.uint8).reshape(6, 6).numpy())
    settings = Augmentation(crop=2, padding="reflect", flip=True)
    with rng.isolated(0):
        seen = {usual_transform(settings, (6, 6))(picture).numpy().tobytes() for _ in range(300)}
    # 25 places, mirrored or not.
    assert 40 < len(seen) <= 50
    with pytest.raises(UserError, match="cutout"):
        usual_transform(Augmentation(cutout=2), (6, 6))


def test_the_command_shows_every_source_beside_the_step() -> None:
    wanted = ("--batch-size", 8, "--seconds", 0.05, "--workers", 1, "--device", "cpu")
    shown = agc("bench", "data", "--dataset", "digits", "--crop", 1, *wanted)
    assert shown.code == 0, shown
    rows = [line.split("│")[0].strip() for line in shown.out.splitlines() if "│" in line]
    assert rows == [
        "agc loader",
        "torchvision and DataLoader, 0 workers",
        "torchvision and DataLoader, 1 workers",
        "training step of resnet8",
    ]
    assert "100.0 %" in shown.out


def test_images_that_are_streamed_have_no_loader_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")
    dataset = {
        "name": "image-folder",
        "options": {"root": str(folders(tmp_path / "images", 6)), "size": 16},
    }
    training = {"batch_size": 4, "validation": 3}
    cell = make_cell({"dataset": dataset, "architecture": "resnet8", "training": training})
    with pytest.raises(UserError, match="'image-folder' is read by torch's DataLoader itself"):
        measure(cell, "cpu", 0, 0.1)
