"""Data sets that no training can be made of are refused when they are loaded, each in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from agc.datasets.base import Dataset, Split, channel_statistics
from agc.datasets.shared.checked import check, load
from agc.datasets.shared.encoded import load_folders
from agc.datasets.shared.place import prepared_folder
from agc.datasets.shared.prepare import prepare
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.registry import DATASETS
from agc.training.build import load_dataset
from tests.support.command_line import agc
from tests.support.conformance import registered
from tests.support.dataset_files import idx
from tests.support.image_files import folders

CLASSES = 3


def sound() -> Dataset:
    """40 random images of 3 x 4 x 4 for training and 12 for the test, with all three labels."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (52, 3, 4, 4), dtype=torch.uint8, generator=draw)
    everything = Split(images, torch.arange(52) % CLASSES)
    train, test = everything[slice(40)], everything[slice(40, 52)]
    return Dataset(train, test, CLASSES, *channel_statistics(train.images))


def labelled(change: Callable[[Tensor], Any], which: str = "train") -> Dataset:
    """The sound set with other labels in one split."""
    split = getattr(sound(), which)
    return replace(sound(), **{which: Split(split.images, change(split.labels.clone()))})


def pictured(change: Callable[[Tensor], Any], which: str = "train") -> Dataset:
    """The sound set with other images in one split, and their statistics where they have some."""
    split = getattr(sound(), which)
    images = change(split.images.clone())
    dataset = replace(sound(), **{which: Split(images, split.labels)})
    if which == "train" and isinstance(images, Tensor) and images.dtype == torch.uint8:
        return replace(
            dataset, **dict(zip(("mean", "std"), channel_statistics(images), strict=True))
        )
    return dataset


def put(place: Any, value: Any) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor[place] = value
        return tensor

    return change


def broken_float(images: Tensor) -> Tensor:
    return put((17, 0, 2, 2), float("nan"))(images / 255)


LABELS: dict[str, tuple[Callable[[], Dataset], str]] = {
    "one too high": (
        lambda: labelled(put(7, CLASSES)),
        "training split: label 3 of image 7 (1 of 40 labels are such); "
        "3 classes have the labels 0 to 2",
    ),
    "numbered from 1": (
        lambda: labelled(lambda labels: labels + 1),
        "training split: label 3 of image 2 (13 of 40",
    ),
    "ignored by torch": (lambda: labelled(put(0, -100)), "label -100 of image 0"),
    "of the test": (lambda: labelled(put(5, 9), "test"), "test split: label 9 of image 5"),
    "int32": (lambda: labelled(Tensor.int), "labels are int32; expected int64: `labels.long()`"),
    "float": (lambda: labelled(Tensor.float), "labels are float32; expected int64"),
    "a list": (lambda: labelled(Tensor.tolist), "labels are list; expected a torch tensor"),
    "one-hot": (
        lambda: labelled(lambda labels: torch.nn.functional.one_hot(labels)),
        "labels have shape (40, 3) for 40 images; expected one number an image, (40,) "
        "(one-hot labels: `labels.argmax(dim=1)`)",
    ),
    "a column": (lambda: labelled(lambda labels: labels[:, None]), "shape (40, 1) for 40 images"),
    "too few": (lambda: labelled(lambda labels: labels[:-1]), "shape (39,) for 40 images"),
    "one class unseen": (
        lambda: labelled(lambda labels: labels.clamp(max=1)),
        "training split: no image of class 2; expected at least one of each of the 3 classes",
    ),
}
IMAGES: dict[str, tuple[Callable[[], Dataset], str]] = {
    "float": (
        lambda: pictured(lambda images: images / 255),
        "training split: images are float32 from 0 to 1 (if that is black to white: "
        "`(255 * images).round().to(torch.uint8)`); expected uint8 from 0 to 255, [N, C, H, W]",
    ),
    "normalised": (lambda: pictured(lambda images: images / 64 - 2), "float32 from -2 to 1.98438;"),
    "not a number": (lambda: pictured(broken_float), "images are float32, and image 17 has nan"),
    "int64 of the test": (lambda: pictured(Tensor.long, "test"), "test split: images are int64"),
    "numpy": (lambda: pictured(Tensor.numpy), "images are numpy.ndarray, not a torch tensor"),
    "without channels": (
        lambda: replace(sound(), train=Split(sound().train.images[:, 0], sound().train.labels)),
        "images have shape (40, 4, 4)",
    ),
    "none": (lambda: replace(sound(), test=sound().test[slice(0)]), "test split: no image"),
    "other channels": (
        lambda: pictured(lambda images: images[:, :1], "test"),
        "training images are (3, 4, 4) (C, H, W), test images (1, 4, 4); expected one shape",
    ),
    "other size": (lambda: pictured(lambda images: images[..., :2], "test"), "images (3, 4, 2)"),
    "a constant channel": (
        lambda: pictured(put((slice(None), 1), 37)),
        "training split: channel 1 is constant at 37 of 255 (std = 0), and cannot be normalised",
    ),
    "0 and 1 of 255": (
        lambda: pictured(lambda images: images // 128),
        "training split: the brightest pixel is 1 of 255",
    ),
}
REST: dict[str, tuple[Callable[[], Any], str]] = {
    "one class": (lambda: replace(sound(), classes=1), "classes = 1; expected a whole number"),
    "classes by name": (lambda: replace(sound(), classes=["a", "b"]), "classes = ['a', 'b']"),
    "mean of 255": (
        lambda: replace(sound(), mean=(127.0, 127.0, 127.0)),
        "mean of channel 0 = 127; expected that of training images in [0, 1]",
    ),
    "std is no number": (
        lambda: replace(sound(), std=(0.2, float("nan"), 0.2)),
        "std of channel 1 = nan",
    ),
    "std below 0": (lambda: replace(sound(), std=(0.2, 0.2, -0.2)), "std of channel 2 = -0.2"),
    "one mean": (
        lambda: replace(sound(), mean=(0.5,)),
        "mean has 1 numbers; its images have 3 channels",
    ),
    "no mean": (lambda: replace(sound(), mean=None), "mean = None; expected a number a channel"),
    "a pair": (lambda: (sound().train, sound().test), "is tuple; expected a Dataset"),
    "pairs": (
        lambda: replace(sound(), train=(sound().train.images, sound().train.labels)),
        "training split is tuple; expected a Split of agc.datasets.base",
    ),
}
UNSOUND = {
    f"{kind}: {name}": case
    for kind, cases in (("labels", LABELS), ("images", IMAGES), ("rest", REST))
    for name, case in cases.items()
}


def test_a_sound_set_is_loaded_as_it_is() -> None:
    with registered(DATASETS, sound) as name:
        assert torch.equal(load(name, {}).train.images, sound().train.images)


@pytest.mark.parametrize("case", UNSOUND)
def test_what_is_not_sound_is_told_by_name_place_and_value(case: str) -> None:
    made, message = UNSOUND[case]

    def unsound() -> Dataset:
        return made()

    with registered(DATASETS, unsound) as name, pytest.raises(UserError) as caught:
        load(name, {})
    said = str(caught.value)
    assert said.startswith(f"dataset {name!r}")
    assert message in said
    assert "\n" not in said


def test_images_of_the_user_s_own_kind_need_no_tensor() -> None:
    train = sound().train

    def streaming() -> Dataset:
        images = SimpleNamespace(shape=train.images.shape)
        own = SimpleNamespace(images=images, labels=train.labels, in_order=train.in_order)
        return replace(sound(), train=own)

    check("streaming", streaming())


def test_a_streamed_set_is_checked_by_its_labels_without_decoding(tmp_path: Path) -> None:
    root = folders(tmp_path / "images", 2)
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    dataset = load_folders(root, 16)
    check("image-folder", dataset)
    with pytest.raises(UserError, match="label -1 of image 0"):
        check("image-folder", replace(dataset, train=dataset.train.relabelled(torch.arange(4) - 1)))


def test_a_prepared_store_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "files").mkdir()
    made = idx(tmp_path / "files")
    source = DATASETS["kmnist"].facts["source"]
    monkeypatch.setitem(
        DATASETS["kmnist"].facts,
        "source",
        replace(source, convert=lambda *given: source.convert(*given) - 1),
    )
    prepare("kmnist", None, made.folder, made.originals, download=False)
    assert prepared_folder("kmnist").is_dir()
    with pytest.raises(UserError, match="dataset 'kmnist', training split: label 9 of image 9"):
        load_dataset(make_cell({"dataset": "kmnist", "architecture": "resnet8"}))


def test_a_training_ends_before_it_begins(tmp_path: Path) -> None:
    def unsound() -> Dataset:
        return labelled(put(7, CLASSES))

    with registered(DATASETS, unsound) as name:
        cell = make_cell({"dataset": name, "architecture": "resnet8"})
        cell.write(tmp_path)
        message = agc("train", tmp_path, "--device", "cpu").message
    assert message.endswith(
        f"dataset {name!r}, training split: label 3 of image 7 (1 of 40 labels are such); "
        "3 classes have the labels 0 to 2"
    )
    assert not (tmp_path / "training.json").exists()
