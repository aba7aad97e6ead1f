"""Tiny-ImageNet (Stanford CS231n): JPEG files in a zip archive's folders."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from agc.datasets.base import Dataset
from agc.datasets.shared.originals import Original, Source
from agc.datasets.shared.prepare import load_images
from agc.registry import DATASETS

ARCHIVE = Original(
    "tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
)
TOP = "tiny-imagenet-200"


def convert(paths: dict[str, Path], folder: Path) -> int:
    """Write the training split, and the published validation images as the test split.

    The archive's own test images have no labels. Classes are numbered in the order of their names.
    """
    with ZipFile(paths[ARCHIVE.name]) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
        train = sorted(n for n in names if n.match(f"{TOP}/train/*/images/*.JPEG"))
        classes = {name: i for i, name in enumerate(sorted({n.parts[2] for n in train}))}
        _write(archive, train, [classes[n.parts[2]] for n in train], folder, "train")
        annotations = archive.read(f"{TOP}/val/val_annotations.txt").decode().splitlines()
        rows = sorted(line.split("\t")[:2] for line in annotations)
        test = [PurePosixPath(f"{TOP}/val/images/{name}") for name, _ in rows]
        _write(archive, test, [classes[label] for _, label in rows], folder, "test")
    return len(classes)


def _write(
    archive: ZipFile, names: list[PurePosixPath], labels: list[int], folder: Path, which: str
) -> None:
    """Decode one image after another into the split's file: all of them are 1.2 GB."""
    import numpy as np
    from PIL import Image

    images = np.lib.format.open_memmap(
        folder / f"{which}-images.npy", "w+", np.uint8, (len(names), 3, 64, 64)
    )
    for image, name in zip(images, names, strict=True):
        with archive.open(str(name)) as file:
            image[:] = np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)
    images.flush()
    np.save(folder / f"{which}-labels.npy", np.array(labels, dtype=np.int64))


@DATASETS.register(
    "tiny-imagenet",
    shape=(3, 64, 64),
    classes=200,
    train=100_000,
    test=10_000,
    source=Source(lambda: [ARCHIVE], convert),
)
def tiny_imagenet() -> Dataset:
    """A part of ImageNet at 64×64, tested on its published validation images."""
    return load_images("tiny-imagenet")
