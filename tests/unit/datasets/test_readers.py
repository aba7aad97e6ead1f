"""Each published format, in small, read by the code that reads the real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agc.datasets.base import Dataset, channel_statistics, hold_out
from agc.datasets.shared.prepare import prepare, source_of, store_key
from agc.errors import UserError
from agc.registry import DATASETS
from tests.support.dataset_files import MAKERS, Made


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data"


def made(case: str, folder: Path) -> tuple[str, Made]:
    name, maker = MAKERS[case]
    folder.mkdir()
    return name, maker(folder)


def loaded(name: str, files: Made) -> Dataset:
    prepare(name, files.options, files.folder, files.originals, download=False)
    return DATASETS.create(name, options=files.options)


@pytest.mark.parametrize("case", MAKERS)
def test_every_image_and_label_is_read_as_it_was_written(case: str, tmp_path: Path) -> None:
    name, files = made(case, tmp_path / "files")
    dataset = loaded(name, files)
    facts = DATASETS[name].facts
    for which, split in (("train", dataset.train), ("test", dataset.test)):
        images, labels = files.arrays[which]
        assert split.images.dtype == torch.uint8
        assert tuple(split.images.shape[1:]) == facts["shape"]
        np.testing.assert_array_equal(split.images.numpy(), images)
        assert split.labels.dtype == torch.int64
        assert split.labels.tolist() == labels.tolist()
    mean, std = channel_statistics(dataset.train.images)
    assert dataset.mean == pytest.approx(mean)
    assert dataset.std == pytest.approx(std)


@pytest.mark.parametrize("case", [case for case in MAKERS if case != "tiny-imagenet"])
def test_classes_are_those_of_the_facts(case: str, tmp_path: Path) -> None:
    name, files = made(case, tmp_path / "files")
    assert loaded(name, files).classes == DATASETS[name].facts["classes"]


@pytest.mark.parametrize("case", MAKERS)
def test_one_changed_byte_in_any_file_is_named_and_nothing_is_made(
    case: str, tmp_path: Path, place: Path
) -> None:
    name, files = made(case, tmp_path / "files")
    for original in files.originals:
        path = files.folder / original.name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(UserError, match=f"{path} is not the published {original.name}"):
            loaded(name, files)
        path.write_bytes(good)
    assert not (place / "prepared" / store_key(name, files.options)).exists()


def test_extra_images_are_a_store_of_their_own_and_part_of_training_alone(tmp_path: Path) -> None:
    _, plain = made("svhn", tmp_path / "plain")
    name, more = made("svhn with extra", tmp_path / "more")
    without, with_extra = loaded(name, plain), loaded(name, more)
    assert len(with_extra.train) == len(without.train) + 50
    assert torch.equal(with_extra.test.images, without.test.images)


def test_validation_images_come_from_training_and_are_the_same_for_every_cell(
    tmp_path: Path,
) -> None:
    name, files = made("cifar10", tmp_path / "files")
    dataset = loaded(name, files)
    parts = [hold_out(dataset.train, 0.25), hold_out(dataset.train, 0.25)]
    assert torch.equal(parts[0][1].images, parts[1][1].images)
    train, validation = ({image.numpy().tobytes() for image in s.images} for s in parts[0])
    test = {image.numpy().tobytes() for image in dataset.test.images}
    assert len(validation) == 5
    assert not train & validation
    assert not (train | validation) & test


@pytest.mark.parametrize("name", DATASETS.names())
def test_published_files_have_a_checksum_and_an_address_or_a_way_by_hand(name: str) -> None:
    source = source_of(name)
    if source is None:
        return
    options = dict.fromkeys(source.variants, True)
    originals = source.originals(**options)
    assert originals
    for original in originals:
        assert len(original.md5) == 32
        assert source.by_hand or all(url.endswith(original.name) for url in original.urls)
        assert source.by_hand or original.urls


def test_fashion_mnist_of_half_the_size_has_the_means_of_four_pixels(tmp_path: Path) -> None:
    name, files = made("fashion-mnist", tmp_path / "files")
    loaded(name, files)
    dataset = DATASETS.create(name, options={"size": 14})
    for which, split in (("train", dataset.train), ("test", dataset.test)):
        images, labels = files.arrays[which]
        for image, small in zip(images, split.images, strict=True):
            for row, column in ((0, 0), (5, 9), (13, 13)):
                square = image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert int(small[0, row, column]) == round(square.astype(float).mean())
        assert tuple(split.images.shape[1:]) == (1, 14, 14)
        assert split.labels.tolist() == labels.tolist()
    mean, std = channel_statistics(dataset.train.images)
    assert (dataset.mean, dataset.std) == (mean, std)
    assert DATASETS.resolve(name, {"size": 28}) == {}
    with pytest.raises(UserError, match=r"option size = 16: .*28 or 14"):
        DATASETS.resolve(name, {"size": 16})
