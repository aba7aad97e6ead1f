"""Which test images a cell's networks get right: ``correct.npz``, an image a bit.

The accuracies of two cells tell how many images each has right; only this tells which. So a
difference can be resampled over images as well as over seeds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agc.errors import UserError
from agc.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

NAME = "correct.npz"


class Correct(NamedTuple):
    """Of each of the test images, in the order of the data set; bool [images].

    ``right``: before the attack. ``asked``: the attack was made on it. ``held``: right in spite of
    the attack, False where it was not asked.
    """

    right: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    held: NDArray[np.bool_]


def write_correct(folder: Path, found: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> None:
    """Write the file of a cell; the same outcomes give the same bytes.

    Args:
        folder: the cell's.
        found: by the name of the weights (``final``, ``best``), what :class:`Correct` has.
    """
    bits = {"images": np.array([len(right) for right, _, _ in found.values()][:1])}
    for name, outcomes in found.items():
        for field, values in zip(Correct._fields, outcomes, strict=True):
            bits[f"{name}_{field}"] = np.packbits(values.numpy())
    with atomic_path(folder / NAME) as path, path.open("wb") as file:
        np.savez(file, **bits)


def read_correct(folder: Path, name: str = "final") -> Correct | None:
    """Outcomes of the ``final`` or ``best`` weights; None if they were not noted.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            if f"{name}_right" not in file:
                return None
            images = int(file["images"][0])
            fields = [file[f"{name}_{field}"] for field in Correct._fields]
            return Correct(*(np.unpackbits(bits, count=images).astype(bool) for bits in fields))
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
