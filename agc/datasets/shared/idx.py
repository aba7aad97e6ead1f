"""The idx files of MNIST and of those that follow it, read as published, gzipped."""

from __future__ import annotations

import gzip
import shutil
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from agc.datasets.shared.originals import Original, Source
from agc.datasets.shared.prepare import save_split

if TYPE_CHECKING:
    import numpy as np

FILES = {"train": "train", "test": "t10k"}
"""What the files of a split begin with."""


def idx_source(
    family: str,
    system: Path | None = None,
    package: str = "",
    contents: dict[str, str] | None = None,
) -> Source:
    """Source of the torchvision class ``family``: its files, checksums and mirrors.

    ``contents`` has the MD5 of what each file holds, for those that a package has compressed anew.
    """
    return Source(
        originals=partial(idx_originals, family, contents or {}),
        convert=convert,
        layout=(f"{family}/raw",),
        system=system,
        package=package,
    )


def idx_originals(family: str, contents: dict[str, str]) -> list[Original]:
    """The four files, as torchvision knows them."""
    from torchvision import datasets

    known = getattr(datasets, family)
    return [
        Original(name, md5, tuple(m + name for m in known.mirrors), contents.get(name, ""))
        for name, md5 in known.resources
    ]


def convert(paths: dict[str, Path], folder: Path) -> int:
    """Write both splits; ten classes."""
    for which, prefix in FILES.items():
        images = read(paths[f"{prefix}-images-idx3-ubyte.gz"])
        save_split(folder, which, images[:, None], read(paths[f"{prefix}-labels-idx1-ubyte.gz"]))
    return 10


def read(path: Path) -> np.ndarray:
    """The array of a gzipped idx file."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with gzip.open(path) as packed, NamedTemporaryFile() as plain:
        shutil.copyfileobj(packed, plain)
        plain.flush()
        return read_sn3_pascalvincent_tensor(plain.name).numpy()
