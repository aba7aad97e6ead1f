"""ImageNet (ILSVRC 2012; Russakovsky et al. 2015, arXiv 1409.0575): JPEG files in tar files."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agc.datasets.base import Dataset
from agc.datasets.shared.encoded import load_encoded, save_encoded
from agc.datasets.shared.originals import Original, Source
from agc.registry import DATASETS

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
DEVKIT_DATA = "ILSVRC2012_devkit_t12/data"


def originals() -> list[Original]:
    """The three archives, as torchvision knows them."""
    from torchvision.datasets.imagenet import ARCHIVE_META

    return [Original(*ARCHIVE_META[part]) for part in ("devkit", "val", "train")]


def convert(paths: dict[str, Path], folder: Path) -> int:
    """Pack the files of both splits as they are; the published validation images are the test.

    Classes are numbered in the order of their WordNet ids, as everywhere.
    """
    wnids, truth = read_devkit(paths[DEVKIT])
    classes = {wnid: number for number, wnid in enumerate(sorted(wnids.values()))}
    save_encoded(folder, "test", _validation(paths[VALIDATION], [classes[wnids[i]] for i in truth]))
    save_encoded(folder, "train", _training(paths[TRAIN], classes))
    return len(classes)


def read_devkit(path: Path) -> tuple[dict[int, str], list[int]]:
    """WordNet id of each ILSVRC id that has no children, and the validation images' ILSVRC ids."""
    from scipy.io import loadmat

    with tarfile.open(path) as archive:
        meta = loadmat(archive.extractfile(f"{DEVKIT_DATA}/meta.mat"), squeeze_me=True)
        name = f"{DEVKIT_DATA}/ILSVRC2012_validation_ground_truth.txt"
        truth = [int(line) for line in archive.extractfile(name)]
    leaves = [synset for synset in meta["synsets"] if synset["num_children"] == 0]
    return {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in leaves}, truth


def _validation(path: Path, labels: list[int]) -> Iterator[tuple[bytes, int]]:
    """The ground truth is in the order of the files' names."""
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        for member, label in zip(sorted(members, key=lambda m: m.name), labels, strict=True):
            yield archive.extractfile(member).read(), label


def _training(path: Path, classes: dict[str, int]) -> Iterator[tuple[bytes, int]]:
    """A tar file of one tar file a class."""
    with tarfile.open(path) as archive:
        for member in archive:
            with tarfile.open(fileobj=archive.extractfile(member)) as inner:
                for image in inner:
                    yield inner.extractfile(image).read(), classes[Path(member.name).stem]


@DATASETS.register(
    "imagenet",
    shape=(3, 224, 224),
    classes=1000,
    train=1_281_167,
    test=50_000,
    source=Source(
        originals,
        convert,
        by_hand="https://image-net.org/challenges/LSVRC/2012/2012-downloads.php",
    ),
)
def imagenet(*, size: Annotated[int, Field(ge=8)] = 224) -> Dataset:
    """The 1,000 classes of ILSVRC 2012, tested on its published validation images.

    Images are decoded when needed. Folders that have been unpacked already are read by the data
    set ``image-folder``.
    """
    return load_encoded("imagenet", size)
