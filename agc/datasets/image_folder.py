"""Any images in folders, one folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agc.datasets.base import Dataset
from agc.datasets.shared.encoded import load_folders
from agc.registry import DATASETS, LATER


@DATASETS.register("image-folder", shape=(3, 224, 224))
def image_folder(
    *,
    root: str,
    size: Annotated[int, Field(ge=8)] = 224,
    upright: Annotated[bool, LATER] = False,
) -> Dataset:
    """Images of your own, read from ``root/train/CLASS/*`` and ``root/val/CLASS/*``.

    Classes are numbered in the order of their folders' names. ``root`` is part of a cell's
    description: give an absolute path. Nothing tells whether the files have changed since.
    ``upright`` turns images as their EXIF orientation says; published sets are read without.
    """
    return load_folders(Path(root), size, upright)
