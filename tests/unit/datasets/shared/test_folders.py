"""Folders of images as users have them: what else lies in them changes no label in silence."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from agc.datasets.base import Dataset
from agc.datasets.shared.encoded import load_folders
from agc.datasets.shared.folders import ENDINGS, read_folder
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.registry import DATASETS
from agc.training.build import load_dataset
from tests.support.command_line import agc
from tests.support.image_files import folders


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Cats and dogs, three images each, for training and for validation."""
    return folders(tmp_path / "root", 3)


def image(root: Path, place: str = "train/cats/000.jpg") -> bytes:
    return (root / place).read_bytes()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def same(one: Dataset, other: Dataset) -> None:
    assert one.classes == other.classes
    for first, second in ((one.train, other.train), (one.test, other.test)):
        assert first.labels.tolist() == second.labels.tolist()
        assert torch.equal(first.images[:], second.images[:])


def warned() -> AbstractContextManager[list[warnings.WarningMessage]]:
    return warnings.catch_warnings(record=True, action="always")


SYSTEM_FOLDERS = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", "$RECYCLE.BIN")
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "._000.jpg", ".hidden.png")


def test_images_are_numbered_as_torchvision_numbers_them(root: Path) -> None:
    top = root / "train"
    for place in (
        "cats/a/1.JPG",
        "cats/a b/1.jpg",
        "cats/a/b/0.jpg",
        "cats/a.b/2.jpeg",
        "Zoo/x.png",
    ):
        put(top / place, image(root))
    put(top / "10/1.jpg", image(root))
    put(top / "9/1.jpg", image(root))
    found, usual = read_folder(top), ImageFolder(str(top))
    assert found.classes == usual.classes == ["10", "9", "Zoo", "cats", "dogs"]
    assert list(zip(found.paths, found.labels, strict=True)) == usual.samples
    assert not found.ignored
    assert ENDINGS == IMG_EXTENSIONS


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
@pytest.mark.parametrize("where", ["train", "val", "train/cats"])
def test_a_system_s_folder_is_no_class_and_its_images_are_none(
    name: str, where: str, root: Path
) -> None:
    before = load_folders(root, 16)
    put(root / where / name / "000-checkpoint.jpg", image(root))
    with warned() as said:
        same(load_folders(root, 16), before)
    (warning,) = said
    assert str(warning.message) == f"{root}: passed over 1 hidden or system folders ({name})"


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_a_system_s_file_is_no_image(name: str, root: Path) -> None:
    before = load_folders(root, 16)
    put(root / "train" / name, b"\0")
    put(root / "train" / "dogs" / name, b"\0")
    with warned() as said:
        same(load_folders(root, 16), before)
    (warning,) = said
    assert str(warning.message) == f"{root}: passed over 2 hidden or system files ({name})"


def test_what_is_passed_over_is_counted_by_kind(root: Path) -> None:
    for number in range(5):
        put(root / "train/cats" / f"{number}.gif", b"")
    put(root / "val/dogs/labels.txt", b"")
    put(root / "val/dogs/picture", image(root))
    put(root / "train/readme.txt", b"")
    with warned() as said:
        load_folders(root, 16)
    (warning,) = said
    assert str(warning.message) == (
        f"{root}: passed over 1 files beside the class folders (readme.txt), "
        "7 files that do not end as images do (.gif, .txt, picture)"
    )


def test_a_folder_of_images_alone_is_read_without_a_word(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_folders(root, 16).train.images[:]


def test_links_are_followed_unless_they_lead_nowhere_or_in_a_circle(root: Path) -> None:
    (root / "train/cats/linked.jpg").symlink_to(root / "val/cats/000.jpg")
    shutil.move(root / "train/dogs", root / "elsewhere")
    (root / "train/dogs").symlink_to(root / "elsewhere")
    assert load_folders(root, 16).train.labels.tolist() == [0] * 4 + [1] * 3
    circle = root / "elsewhere/again"
    circle.symlink_to(root / "train/dogs")
    with pytest.raises(UserError, match="dogs/again is a link to a folder that it lies in"):
        load_folders(root, 16)
    circle.unlink()
    (root / "val/dogs/gone.jpg").symlink_to(root / "gone.jpg")
    with pytest.raises(UserError, match=r"val/dogs/gone\.jpg is a link to nothing"):
        load_folders(root, 16)
    (root / "val/dogs/gone.jpg").unlink()
    os.mkfifo(root / "val/dogs/pipe.jpg")
    with pytest.raises(UserError, match=r"val/dogs/pipe\.jpg is no file"):
        load_folders(root, 16)


def test_a_class_without_an_image_is_named(root: Path) -> None:
    (root / "train/birds").mkdir()
    (root / "train/fish").mkdir()
    put(root / "train/fish/1.gif", b"")
    with pytest.raises(
        UserError, match=r"train: no image in birds, fish \(an image ends in \.jpg.*gif"
    ):
        load_folders(root, 16)


def test_a_class_of_one_split_is_named_with_what_it_might_be_in_the_other(root: Path) -> None:
    (root / "val/dogs").rename(root / "val/Dogs")
    with pytest.raises(UserError) as caught:
        load_folders(root, 16)
    assert str(caught.value) == (
        f"{root}: classes of train and val differ: Dogs, dogs (only in train: dogs; only in val: "
        "Dogs; 'dogs' and 'Dogs' are one name but for upper case or Unicode)"
    )


def test_classes_that_differ_in_case_are_two(root: Path) -> None:
    for part in ("train", "val"):
        put(root / part / "CATS/1.jpg", image(root))
    assert load_folders(root, 16).classes == 3


def test_names_that_are_no_utf_8_are_read_and_shown(root: Path) -> None:
    top = os.fsencode(root / "train/cats")
    shutil.copy(root / "train/cats/000.jpg", os.path.join(top, b"\xff.jpg"))  # noqa: PTH118
    dataset = load_folders(root, 16)
    assert len(dataset.train) == 7
    dataset.train.images[:]
    Path(os.fsdecode(os.path.join(top, b"\xff.jpg"))).write_bytes(b"")  # noqa: PTH118
    with pytest.raises(UserError, match=r"cats/\\xff\.jpg is no whole image"):
        dataset.train.images[:]


@pytest.mark.parametrize("lost", ["train", "val"])
def test_a_split_that_is_not_there_is_named(lost: str, root: Path) -> None:
    shutil.rmtree(root / lost)
    name = {"train": "train", "val": "test"}[lost]
    with pytest.raises(
        UserError, match=f"{root} is no folder of images: there is no folder {name}"
    ):
        load_folders(root, 16)
    put(root / lost / "1.jpg", b"")
    with pytest.raises(UserError, match=f"{root / lost} has no folder of a class"):
        load_folders(root, 16)


def test_images_of_a_single_class_are_refused(root: Path) -> None:
    for part in ("train", "val"):
        shutil.rmtree(root / part / "dogs")
    dataset = {"name": "image-folder", "options": {"root": str(root), "size": 16}}
    with pytest.raises(UserError, match="classes = 1; expected a whole number from 2"):
        load_dataset(make_cell({"dataset": dataset, "architecture": "resnet8"}))


def turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("count", ["0", "1"])
def test_what_readers_pass_over_is_warned_of_once_by_name(
    count: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", count)
    first, _ = turned(root / "train/cats/001.jpg"), turned(root / "train/dogs/000.jpg")
    dataset = load_folders(root, 16)
    with warned() as said:
        for _ in range(2):
            list(dataset.train.in_order(2))
    (warning,) = said
    assert str(warning.message).startswith(
        f"{first}, and perhaps more images, has an EXIF orientation, which is not followed"
    )


def test_an_orientation_is_followed_on_demand(root: Path) -> None:
    path = root / "train/cats/001.jpg"
    exif = turned(path)
    as_stored = load_folders(root, 16).train
    with pytest.warns(UserWarning, match="EXIF orientation"):
        stored = as_stored.images[:]
    options = {"root": str(root), "size": 16, "upright": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        upright = DATASETS.create("image-folder", options=options).train.images[:]
    differ = [not torch.equal(a, b) for a, b in zip(stored, upright, strict=True)]
    assert differ == [False, True, False, False, False, False], exif


def test_the_option_leaves_the_cells_of_before_their_names() -> None:
    plain = {"root": "/images", "size": 16}
    assert DATASETS.resolve("image-folder", {**plain, "upright": False}) == plain
    assert DATASETS.resolve("image-folder", {**plain, "upright": True}) == {
        **plain,
        "upright": True,
    }


@pytest.mark.parametrize("count", ["0", "1"])
def test_an_image_of_16_bits_ends_the_training_by_its_name(
    count: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", count)
    pixels = torch.arange(400).reshape(20, 20).to(torch.uint16).numpy()
    path = root / "train/cats/000.png"
    Image.fromarray(pixels).save(path)
    dataset = {"name": "image-folder", "options": {"root": str(root), "size": 16}}
    training = {"epochs": 1, "batch_size": 2, "validation": 1}
    cell = make_cell({"dataset": dataset, "architecture": "resnet8", "training": training})
    cell.write(tmp_path)
    message = agc("train", tmp_path, "--device", "cpu").message
    assert f"{path} has more than 8 bits a channel (PIL's mode I;16)" in message


def test_a_ribbon_that_would_fill_the_memory_is_refused(root: Path) -> None:
    path = root / "val/cats/wide.png"
    Image.new("L", (60_000, 1)).save(path)
    with pytest.raises(UserError, match=r"wide\.png has 60000×1 pixels: with 256 on the shorter"):
        load_folders(root, 224).test.images[:]
