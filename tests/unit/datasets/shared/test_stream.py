"""Images decoded by workers: ImageNet's archives, folders of files, and determinism."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from agc.datasets.base import Dataset, hold_out
from agc.datasets.shared.encoded import load_folders
from agc.datasets.shared.loader import make_loader
from agc.datasets.shared.originals import Original
from agc.datasets.shared.place import prepared_folder
from agc.datasets.shared.prepare import prepare
from agc.datasets.shared.settings import Augmentation
from agc.datasets.shared.stream import StreamedSplit, workers
from agc.errors import UserError
from agc.evaluation.clean import evaluate_clean
from agc.grids.cell import make_cell
from agc.registry import DATASETS
from agc.training.build import build
from agc.training.loop import train
from tests.support.image_files import PER_CLASS, WNIDS, folders, imagenet


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")


def test_imagenet_s_files_are_packed_as_they_are_with_the_usual_classes(tmp_path: Path) -> None:
    made, train, truth = imagenet(tmp_path / "files")
    prepare("imagenet", root=made.folder, originals=made.originals, download=False)
    dataset: Dataset = DATASETS.create("imagenet", options={"size": 16})
    assert dataset.classes == 3
    assert dataset.test.labels.tolist() == truth
    assert [dataset.test.files.read(i) for i in range(5)] == train["test"]
    for number, label in enumerate(dataset.train.labels.tolist()):
        wnid = sorted(WNIDS)[label]
        assert dataset.train.files.read(number) == train[wnid][number % PER_CLASS]
    assert dataset.train.images[:2].shape == (2, 3, 16, 16)


def test_a_wrong_archive_is_named_and_without_them_the_way_to_get_them(tmp_path: Path) -> None:
    made, _, _ = imagenet(tmp_path / "files")
    wrong = [Original(o.name, "0" * 32) for o in made.originals if "val" in o.name]
    with pytest.raises(UserError, match=r"img_val\.tar is not the published"):
        prepare("imagenet", root=made.folder, originals=wrong)
    with pytest.raises(UserError, match=r"get them from https://image-net\.org"):
        prepare("imagenet", download=False)


def test_a_packed_store_that_is_cut_short_is_named_and_a_flipped_bit_is_found(
    tmp_path: Path,
) -> None:
    made, _, _ = imagenet(tmp_path / "files")
    lines: list[str] = []

    def again() -> None:
        prepare("imagenet", None, made.folder, made.originals, download=False, report=lines.append)

    again()
    packed = prepared_folder("imagenet") / "train-encoded.bin"
    good = packed.read_bytes()
    packed.write_bytes(good[:-1])
    with pytest.raises(UserError, match=r"train-encoded\.bin has \d+ bytes instead of"):
        DATASETS.create("imagenet", options={})
    packed.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again()
    assert any(line.startswith(f"{packed} is corrupt") for line in lines)
    assert packed.read_bytes() == good


def split(root: Path, size: int = 16) -> StreamedSplit:
    return load_folders(root, size).train


def batches(given: StreamedSplit, epoch: int = 1, purpose: str = "train", **settings) -> list:
    augmentation = Augmentation(flip=True, area=(0.3, 1.0))
    loader = make_loader(given, 5, augmentation, **{"seed": 3, **settings})
    return list(loader.epoch(epoch, purpose))


def test_batches_are_the_same_whatever_the_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = split(folders(tmp_path / "root"))
    before = torch.get_rng_state()
    alone = batches(given)
    assert len(alone) == len(given) // 5 == 4
    for count in ("1", "2"):
        monkeypatch.setenv("AGC_LOADER_WORKERS", count)
        for one, other in zip(alone, batches(given), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            assert one.noise == other.noise
    assert torch.equal(torch.get_rng_state(), before)


def test_another_epoch_purpose_or_seed_has_other_crops_of_the_same_images(tmp_path: Path) -> None:
    given = split(folders(tmp_path / "root"))[torch.arange(5)]
    first = batches(given)[0]
    for other in (batches(given, 2), batches(given, purpose="snapshot"), batches(given, seed=4)):
        assert sorted(other[0].labels.tolist()) == sorted(first.labels.tolist())
        pixels = {image.numpy().tobytes() for image in first.images}
        assert pixels.isdisjoint(image.numpy().tobytes() for image in other[0].images)


def test_evaluation_sees_the_central_square_of_every_image_in_order(tmp_path: Path) -> None:
    root = folders(tmp_path / "root")
    given = load_folders(root, 14).test
    parts = list(given.in_order(7))
    assert [len(labels) for _, labels in parts] == [7, 7, 7, 3]
    images = torch.cat([images for images, _ in parts])
    usual = v2.Compose([v2.Resize(16), v2.CenterCrop(14), v2.PILToTensor()])
    paths = sorted((root / "val").glob("*/*.jpg"))
    assert torch.equal(images, torch.stack([usual(Image.open(path)) for path in paths]))
    assert torch.equal(images, given.images[:])
    assert torch.cat([labels for _, labels in parts]).tolist() == [0] * 12 + [1] * 12


def test_what_is_held_out_of_a_streamed_set_is_neither_lost_nor_shared(tmp_path: Path) -> None:
    train, validation = hold_out(split(folders(tmp_path / "root")), 0.25)
    assert len(validation) == 6
    numbers = [*train.numbers.tolist(), *validation.numbers.tolist()]
    assert sorted(numbers) == list(range(24))
    assert validation.labels.tolist() == [number // 12 for number in validation.numbers.tolist()]


def test_a_cell_is_trained_on_a_folder_of_images(tmp_path: Path) -> None:
    root = folders(tmp_path / "root")
    cell = make_cell(
        {
            "dataset": {"name": "image-folder", "options": {"root": str(root), "size": 16}},
            "architecture": {"name": "resnet8", "options": {"width": 4}},
            "method": {"name": "rigl", "options": {"update_interval": 2}},
            "sparsity": 0.5,
            "correction": "agc",
            "training": {"epochs": 1, "batch_size": 5, "augmentation": {"area": [0.3, 1]}},
        }
    )
    losses = []
    for _ in range(2):
        run = build(cell)
        losses += [epoch_losses for _, epoch_losses in train(run)]
        assert 0 <= evaluate_clean(run.model, run.test)[1] <= 1
    assert torch.equal(losses[0], losses[1])


@pytest.mark.parametrize("count", ["0", "2"])
def test_a_broken_file_is_named_in_one_line(
    count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folders(tmp_path / "root")
    broken = root / "train" / "cats" / "003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    monkeypatch.setenv("AGC_LOADER_WORKERS", count)
    with pytest.raises(UserError) as caught:
        list(split(root).in_order(5))
    assert str(caught.value).startswith(f"{broken} is no whole image: ")
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_data_set_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"is no folder of images: .*expected train/CLASS"):
        load_folders(tmp_path / "nowhere", 16)
    root = folders(tmp_path / "root", 2)
    (root / "val" / "dogs").rename(root / "val" / "birds")
    with pytest.raises(UserError, match="classes of train and val differ: birds, dogs"):
        load_folders(root, 16)
    monkeypatch.setenv("AGC_LOADER_WORKERS", "many")
    with pytest.raises(UserError, match="AGC_LOADER_WORKERS = 'many'"):
        workers()


def test_a_choice_of_no_image_is_no_batch(tmp_path: Path) -> None:
    given = split(folders(tmp_path / "root", 2))
    assert list(given[torch.arange(0)].in_order(4)) == []


def test_other_labels_leave_the_images(tmp_path: Path) -> None:
    given = split(folders(tmp_path / "root", 2))
    other = given.relabelled(1 - given.labels)
    assert torch.equal(other.labels, 1 - given.labels)
    assert torch.equal(other.images[:], given.images[:])
