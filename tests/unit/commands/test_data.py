"""``agc data`` on small files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from agc.datasets.shared.originals import Source
from agc.datasets.shared.place import prepared_folder
from agc.registry import DATASETS
from tests.support.command_line import agc
from tests.support.dataset_files import idx
from tests.support.image_files import folders


def test_the_command_prepares_lists_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "files").mkdir()
    files = idx(tmp_path / "files")
    small = Source(lambda: files.originals, DATASETS["mnist"].facts["source"].convert)
    monkeypatch.setitem(DATASETS["mnist"].facts, "source", small)
    told = agc("data", "prepare", "mnist", "--root", files.folder, "--offline")
    assert told.code == 0
    assert str(prepared_folder("mnist")) in told.out
    listed = agc("data", "list").out
    assert f"{tmp_path}/data" in listed
    assert "needs no preparation" in agc("data", "prepare", "digits").message
    assert "did you mean 'kmnist'" in agc("data", "prepare", "kmnst").message
    assert "expected OPTION=VALUE" in agc("data", "prepare", "svhn", "--set", "extra").message
    assert "did you mean 'extra'" in agc("data", "prepare", "svhn", "--set", "extr=1").message
    assert "option extra = 'all'" in agc("data", "prepare", "svhn", "--set", "extra=all").message
    nowhere = agc("data", "prepare", "mnist", "--root", tmp_path / "nowhere")
    assert nowhere.message == f"mnist: --root {tmp_path / 'nowhere'} is no folder"
    options = ("--dataset", "kmnist", "--architecture", "resnet8", "--recipe", "none")
    unprepared = agc("train", *options, "--out", tmp_path)
    assert "run `agc data prepare kmnist`" in unprepared.message


@pytest.mark.parametrize("count", ["0", "2"])
def test_a_folder_of_images_is_verified_image_by_image(
    count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", count)
    root = folders(tmp_path / "root", 3)
    asked = ("data", "verify", "image-folder", "--set", f"root={root}", "--set", "size=16")
    sound = agc(*asked)
    assert (sound.code, sound.out.splitlines()) == (
        0,
        [
            "image-folder, training split: 6 images of 2 classes, 3 to 3 a class",
            "image-folder, test split: 6 images of 2 classes, 3 to 3 a class",
        ],
    )
    for place in ("train/cats/001.jpg", "train/dogs/002.jpg", "val/dogs/000.jpg"):
        (root / place).write_bytes(b"")
    Image.new("RGBA", (20, 20)).save(root / "val/cats/clear.png")
    broken = agc(*asked)
    assert broken.code == 1
    unknown = "is no whole image: PIL knows no such format"
    assert broken.out.splitlines() == [
        "image-folder, training split: 6 images of 2 classes, 3 to 3 a class",
        f"{root}/train/cats/001.jpg {unknown}",
        f"{root}/train/dogs/002.jpg {unknown}",
        "image-folder, test split: 7 images of 2 classes, 3 to 4 a class",
        f"{root}/val/dogs/000.jpg {unknown}",
        "1 of them have transparent pixels, of which the colours beneath are taken",
        "image-folder: 3 images cannot be read",
    ]


def test_images_in_memory_are_verified_as_they_are_loaded() -> None:
    shown = agc("data", "verify", "digits")
    assert shown.code == 0
    assert shown.out.splitlines()[0].startswith("digits, training split: 1437 images of 10 classes")
    missing = agc("data", "verify", "image-folder")
    assert missing.message == "dataset 'image-folder': option root is missing"
