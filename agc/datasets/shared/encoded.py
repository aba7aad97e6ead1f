"""Encoded images, read one by one: packed into one file of a store, or as files of their own.

A store has, for ``train`` and ``test``, ``WHICH-encoded.bin`` (one file after another as
published), ``WHICH-ends.npy`` (where each ends, int64 [N]) and ``WHICH-labels.npy`` (int64 [N]).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agc.datasets.base import Dataset
from agc.datasets.shared.folders import (
    Folder,
    differing,
    passed_over,
    printable,
    read_folder,
)
from agc.datasets.shared.prepare import open_store
from agc.datasets.shared.stream import StreamedSplit
from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The usual ones of ImageNet, for which networks are published; no pass over the data is needed."""


@dataclass(frozen=True)
class PackedImages:
    """Images of a store; ``ends`` maps the file, so that copies of it cost nothing."""

    path: Path
    ends: np.ndarray

    def read(self, number: int) -> bytes:
        """The encoded image."""
        start = int(self.ends[number - 1]) if number else 0
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(int(self.ends[number]) - start)

    def name(self, number: int) -> str:
        """What a message calls the image."""
        return f"image {number} of {self.path}"


@dataclass(frozen=True)
class ImageFiles:
    """Images that are files."""

    paths: Sequence[str]

    def read(self, number: int) -> bytes:
        """The encoded image."""
        return Path(self.paths[number]).read_bytes()

    def name(self, number: int) -> str:
        """What a message calls the image."""
        return printable(self.paths[number])


def save_encoded(folder: Path, which: str, images: Iterable[tuple[bytes, int]]) -> None:
    """Write the files of a split from encoded images and their labels."""
    import numpy as np

    ends, labels, end = [], [], 0
    with (folder / f"{which}-encoded.bin").open("wb") as file:
        for encoded, label in images:
            end += file.write(encoded)
            ends.append(end)
            labels.append(label)
    np.save(folder / f"{which}-ends.npy", np.array(ends, dtype=np.int64))
    np.save(folder / f"{which}-labels.npy", np.array(labels, dtype=np.int64))


def load_encoded(name: str, size: int) -> Dataset:
    """A prepared data set whose images are decoded when needed, as squares of ``size`` pixels.

    Raises:
        UserError: as :func:`agc.datasets.shared.prepare.open_store`.
    """
    import numpy as np

    folder, manifest = open_store(name)

    def split(which: str) -> StreamedSplit:
        ends = np.load(folder / f"{which}-ends.npy", mmap_mode="r")
        labels = torch.from_numpy(np.load(folder / f"{which}-labels.npy"))
        files = PackedImages(folder / f"{which}-encoded.bin", ends)
        return StreamedSplit(files, torch.arange(len(labels)), labels, size)

    return Dataset(split("train"), split("test"), manifest["classes"], MEAN, STD)


def load_folders(root: Path, size: int, upright: bool = False) -> Dataset:
    """A data set of ``root/train/CLASS/*`` and ``root/val/CLASS/*`` (or ``test``).

    What is passed over in the folders, such as hidden files, is said in a warning.

    Args:
        root: the folder.
        size: height and width of a decoded image.
        upright: follow the EXIF orientation of an image.

    Raises:
        UserError: a folder is missing or empty, or the classes of the two differ.
    """
    held = root / "val" if (root / "val").is_dir() else root / "test"
    for part in (root / "train", held):
        if not part.is_dir():
            raise UserError(
                f"{printable(str(root))} is no folder of images: there is no folder {part.name} "
                "in it (expected train/CLASS/* and val/CLASS/*)"
            )
    train, test = read_folder(root / "train"), read_folder(held)
    differ = differing(train, test, ("train", held.name))
    if differ:
        raise UserError(
            f"{printable(str(root))}: classes of train and {held.name} differ: {differ}"
        )
    ignored = passed_over([train, test])
    if ignored:
        warnings.warn(f"{printable(str(root))}: passed over {ignored}", stacklevel=2)

    def split(folder: Folder) -> StreamedSplit:
        labels = torch.tensor(folder.labels)
        numbers = torch.arange(len(labels))
        return StreamedSplit(
            ImageFiles(folder.paths), numbers, labels, size, upright=upright, outspoken=True
        )

    return Dataset(split(train), split(test), len(train.classes), MEAN, STD)
